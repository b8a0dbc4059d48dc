"""Operations on the visible blocks of images: what `SparseEncoder` is made of."""
