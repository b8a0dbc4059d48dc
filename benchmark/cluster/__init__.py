"""Jobs on an engine that exists: Slurm, Ray, or processes of this machine. It schedules nothing itself."""
