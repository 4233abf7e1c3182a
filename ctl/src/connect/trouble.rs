//! Why a node could not be reached, read from the chain of errors below a connection.

use std::error::Error as StdError;
use std::fmt;
use std::io::ErrorKind;

use rustls::{CertificateError, Error as Tls};

/// What stood between us and one node. `Display` is a clause for the error line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing listens there.
    Refused,
    /// No answer within the time allowed.
    TimedOut,
    /// The name has no address, or the address no route.
    Unreachable(String),
    /// The node's certificate was issued by another CA than ours.
    OtherCa,
    /// The node's certificate is for another cluster.
    OtherCluster,
    /// The node's certificate has expired.
    NodeExpired,
    /// A certificate is not valid yet, so a clock is wrong.
    NotYetValid,
    /// The node did not take our certificate.
    OursRejected(&'static str),
    /// What answers there does not speak TLS.
    NotTls,
    /// The node has no leader to ask, or is starting or stopping.
    NotReady(String),
    /// Anything else, in the words of the layer that failed.
    Other(String),
}

impl Trouble {
    /// The trouble behind an error of the transport, `None` when the chain holds nothing about a connection.
    pub fn find(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref::<Tls>() {
                return Some(from_tls(tls));
            }
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                // rustls' error is the payload of the I/O error, which `source` steps over.
                return match io.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
                    Some(tls) => Some(from_tls(tls)),
                    None => Some(from_io(io)),
                };
            }
            next = error.source();
        }
        None
    }

    /// [`Trouble::find`], or else the innermost words of the chain.
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        if let Some(found) = Self::find(error) {
            return found;
        }
        let mut last = error;
        while let Some(inner) = last.source() {
            last = inner;
        }
        Self::Other(last.to_string())
    }

    /// How much it says about the cause, for choosing one mend among several.
    pub(crate) fn says(&self) -> u8 {
        match self {
            Self::OtherCa
            | Self::OtherCluster
            | Self::NodeExpired
            | Self::NotYetValid
            | Self::OursRejected(_) => 3,
            Self::NotTls | Self::NotReady(_) => 2,
            Self::Refused | Self::Unreachable(_) | Self::Other(_) => 1,
            Self::TimedOut => 0,
        }
    }

    /// What to do about it.
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Refused => "start baton-node there (`systemctl status baton-node`), or correct --node",
            Self::TimedOut => {
                "check the hosts, the network and the firewall, or allow more with --timeout 15s"
            }
            Self::Unreachable(_) => "correct --node, or the nodes in batonctl.toml",
            Self::OtherCa => "use this cluster's ca.pem (--ca), with a certificate it issued (--cert, --key)",
            Self::OtherCluster => "check --cluster and --node: they belong to different clusters",
            Self::NodeExpired => "renew that node's certificate with `batonctl certs`",
            Self::NotYetValid => "correct the clock, here or on that node",
            Self::OursRejected(_) => {
                "use a client certificate from this cluster's CA that has not expired (`batonctl certs`)"
            }
            Self::NotTls => "--node takes a node's peer address, as `peer` in baton.toml",
            Self::NotReady(_) => "it needs a majority of the nodes: `batonctl status` shows which answer",
            Self::Other(_) => "look at the node's log (`journalctl -u baton-node`)",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Unreachable(what) | Self::NotReady(what) | Self::Other(what) => f.write_str(what),
            Self::OtherCa => f.write_str("its certificate is from another CA than ours"),
            Self::OtherCluster => f.write_str("its certificate is for another cluster"),
            Self::NodeExpired => f.write_str("its certificate has expired"),
            Self::NotYetValid => f.write_str("its certificate is not valid yet"),
            Self::OursRejected(why) => write!(f, "it does not take our certificate ({why})"),
            Self::NotTls => f.write_str("what answers there does not speak TLS"),
        }
    }
}

fn from_tls(error: &Tls) -> Trouble {
    match error {
        Tls::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Trouble::NodeExpired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Trouble::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Trouble::OtherCluster
            }
            // Two CAs that Baton made for clusters of one name share their subject: then only the signature differs.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Trouble::OtherCa,
            other => Trouble::Other(format!("its certificate is wrong: {other}")),
        },
        Tls::AlertReceived(alert) => rejected(&format!("{alert:?}")),
        Tls::InvalidMessage(_) => Trouble::NotTls,
        other => Trouble::Other(other.to_string()),
    }
}

/// An alert by its name. Nearly all of them say why the node did not take our certificate.
fn rejected(alert: &str) -> Trouble {
    Trouble::OursRejected(match alert {
        // The second: the CAs of two clusters of one name differ by their key only.
        "UnknownCA" | "DecryptError" => "from another CA",
        "CertificateExpired" => "expired",
        "CertificateRequired" => "none was shown",
        "AccessDenied" => "access denied",
        "BadCertificate" | "UnsupportedCertificate" | "CertificateRevoked" | "CertificateUnknown" => {
            "not valid"
        }
        other => return Trouble::Other(format!("it ended the TLS handshake ({other})")),
    })
}

fn from_io(error: &std::io::Error) -> Trouble {
    // HTTP/2 passes the words of a TLS error on, not the error itself.
    if let Some(alert) = error.to_string().strip_prefix("received fatal alert: ") {
        return rejected(alert);
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => Trouble::Refused,
        ErrorKind::TimedOut => Trouble::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            Trouble::Unreachable("no route to it".into())
        }
        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
            Trouble::Other("it closed the connection".into())
        }
        _ if error.to_string().starts_with("failed to lookup address") => {
            Trouble::Unreachable("the name has no address".into())
        }
        _ => Trouble::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn finds_the_tls_error_inside_an_io_error() {
        let tls = Tls::AlertReceived(AlertDescription::CertificateExpired);
        let io = std::io::Error::new(ErrorKind::InvalidData, tls);
        assert_eq!(Trouble::find(&io), Some(Trouble::OursRejected("expired")));
        let passed_on = std::io::Error::new(ErrorKind::InvalidData, io.to_string());
        assert_eq!(Trouble::find(&passed_on), Some(Trouble::OursRejected("expired")));
    }

    #[test]
    fn a_refused_port_is_told_from_a_wrong_name() {
        let refused = std::io::Error::from(ErrorKind::ConnectionRefused);
        assert_eq!(Trouble::of(&refused), Trouble::Refused);
        let name = std::io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(Trouble::of(&name), Trouble::Unreachable("the name has no address".into()));
    }
}
