"""Operations on the visible blocks of images, from which `SparseEncoder` is built."""
