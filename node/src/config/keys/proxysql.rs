//! The keys of `[[proxysql]]`.

use super::Preset::{Required, Value};
use super::Scope::Live;
use super::{Key, key};
use crate::config::kind::Kind;

/// The keys of each `[[proxysql]]`.
pub static PROXYSQL_KEYS: &[Key] = &[
    key("name", Kind::Name, Required, Live, "What logs and `batonctl routing` call it."),
    key(
        "admin",
        Kind::Address,
        Required,
        Live,
        "Its admin interface (admin-mysql_ifaces), as every node reaches it: whichever leads speaks to it.",
    ),
    key(
        "user",
        Kind::Text,
        Value("baton"),
        Live,
        "Of its admin-admin_credentials. Not \"admin\", which ProxySQL lets in from its own host only.",
    ),
    key(
        "password_file",
        Kind::Path,
        Value("/etc/baton/proxysql.password"),
        Live,
        "Holds that user's password. Read for each connection, so that a new password needs no reload.",
    ),
    key(
        "writer_hostgroup",
        Kind::Integer { min: 0, max: 2_147_483_647 },
        Value("10"),
        Live,
        "Where clients that write are led. Baton alone places the cluster's servers in it. ProxySQL's own examples have 10.",
    ),
    key(
        "reader_hostgroup",
        Kind::Integer { min: 0, max: 2_147_483_647 },
        Value("20"),
        Live,
        "Where clients that only read are led. ProxySQL's own examples have 20.",
    ),
];
