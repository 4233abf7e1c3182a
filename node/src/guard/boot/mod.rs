//! Boot
