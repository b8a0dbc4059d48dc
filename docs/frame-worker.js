// The site's search runs in a worker, which browsers refuse to pages that are opened from disk: there, an invisible
// frame does its work.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = `<body><script>
        self.postMessage = (data) => frameElement.worker.dispatchEvent(new MessageEvent("message", { data }));
        self.importScripts = async (...urls) => {
          for (const url of urls) {
            await new Promise((done, failed) => {
              const script = document.createElement("script");
              Object.assign(script, { src: url, onload: done, onerror: failed });
              document.body.append(script);
            });
          }
        };
      <\/script><script src="${new URL(url, location)}"><\/script></body>`;
      this.frame.worker = this;
      this.ready = new Promise((done) => this.frame.addEventListener("load", done));
      document.body.append(this.frame);
    }
    async postMessage(data) {
      await this.ready;
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }
  };
}
