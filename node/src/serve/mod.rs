//! serve (to be written)
