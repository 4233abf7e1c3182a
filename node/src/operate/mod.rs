//! operate (to be written)
