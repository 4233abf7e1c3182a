//! gtid (to be written)
