//! Names that certificates carry, and the syntax of the names they are made of.
//!
//! A certificate says who holds it in one DNS name: `<node>.<cluster>.baton` or `<user>.client.<cluster>.baton`.
//! Addresses stay out of it, so that a node may move without a new certificate.

/// The longest name of a cluster, node or client, in characters.
pub const NAME_MAX: usize = 32;

/// Who holds a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A node of a cluster.
    Node {
        /// The node's name.
        node: String,
        /// Its cluster.
        cluster: String,
    },
    /// Somebody who operates a cluster.
    Client {
        /// The client's name.
        client: String,
        /// The cluster.
        cluster: String,
    },
}

impl Holder {
    /// A node's.
    #[must_use]
    pub fn node(node: &str, cluster: &str) -> Self {
        Self::Node { node: node.to_owned(), cluster: cluster.to_owned() }
    }

    /// A client's.
    #[must_use]
    pub fn client(client: &str, cluster: &str) -> Self {
        Self::Client { client: client.to_owned(), cluster: cluster.to_owned() }
    }

    /// The DNS name in the certificate.
    #[must_use]
    pub fn dns_name(&self) -> String {
        match self {
            Self::Node { node, cluster } => format!("{node}.{cluster}.baton"),
            Self::Client { client, cluster } => format!("{client}.client.{cluster}.baton"),
        }
    }

    /// Reads a certificate's DNS name; None when it is not one of Baton's.
    #[must_use]
    pub fn from_dns_name(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('.').collect();
        let proper = |names: &[&str]| names.iter().all(|name| name_fault(name).is_none());
        match parts[..] {
            [node, cluster, "baton"] if proper(&[node, cluster]) => Some(Self::node(node, cluster)),
            [client, "client", cluster, "baton"] if proper(&[client, cluster]) => {
                Some(Self::client(client, cluster))
            }
            _ => None,
        }
    }

    /// The cluster it is for.
    #[must_use]
    pub fn cluster(&self) -> &str {
        match self {
            Self::Node { cluster, .. } | Self::Client { cluster, .. } => cluster,
        }
    }
}

/// The DNS name that every node of a cluster has beside its own: a client knows addresses, not which node answers.
///
/// It has a label more than a node's name, so that no node can be called like it.
#[must_use]
pub fn any_node(cluster: &str) -> String {
    format!("any.node.{cluster}.baton")
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node { node, cluster } => write!(f, "node {node} of cluster {cluster}"),
            Self::Client { client, cluster } => write!(f, "client {client} of cluster {cluster}"),
        }
    }
}

/// What is wrong with the name of a cluster, node or client; None when nothing is.
///
/// The syntax is that of a DNS label, because the names stand in certificates: `[a-z0-9-]{1,32}`, without a hyphen
/// at either end.
#[must_use]
pub fn name_fault(name: &str) -> Option<String> {
    let proper = (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    (!proper).then(|| {
        format!("\"{name}\" is not a name; use 1 to {NAME_MAX} of a-z, 0-9 and -, without - at either end")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_survives_its_dns_name() {
        for holder in
            [Holder::node("db1", "shop"), Holder::client("admin", "shop"), Holder::node("client", "x-1")]
        {
            assert_eq!(Holder::from_dns_name(&holder.dns_name()), Some(holder));
        }
    }

    #[test]
    fn any_node_is_no_holder() {
        assert_eq!(Holder::from_dns_name(&any_node("shop")), None);
    }

    #[test]
    fn other_names_belong_to_nobody() {
        for name in [
            "",
            "db1",
            "db1.shop",
            "db1.shop.example",
            "a.b.c.baton",
            "DB1.shop.baton",
            ".shop.baton",
            "*.shop.baton",
        ] {
            assert_eq!(Holder::from_dns_name(name), None, "{name}");
        }
    }

    #[test]
    fn names_are_dns_labels() {
        let long = "a".repeat(NAME_MAX);
        for good in ["a", "db-1", "0", &long] {
            assert_eq!(name_fault(good), None, "{good}");
        }
        let too_long = "a".repeat(NAME_MAX + 1);
        for bad in ["", "-a", "a-", "DB1", "db_1", "db.1", "dä", &too_long] {
            assert!(name_fault(bad).is_some(), "{bad}");
        }
    }
}
