//! Whom a backup is made for, and who reads one: keys of age, the kind that `age-keygen` makes.

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::MontgomeryPoint;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretBox};
use serde::{Deserialize, Serialize};

use super::bech32;
use super::error::KeyError;

const PUBLIC: &str = "age";
const PRIVATE: &str = "age-secret-key-";

/// What a key is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its private half is kept offline: the last resort.
    Escrow,
    /// Its private half is on the hosts that read backups by themselves.
    Reader,
}

/// A public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient(pub(super) [u8; 32]);

impl FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let key = bech32::decode(text.trim()).filter(|(hrp, _)| hrp == PUBLIC);
        let key = key.and_then(|(_, data)| <[u8; 32]>::try_from(data).ok());
        key.map(Self).ok_or_else(|| KeyError::NoRecipient(text.trim().to_owned()))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(PUBLIC, &self.0))
    }
}

impl Serialize for Recipient {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Everyone a backup is made for. At least one of them is an escrow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Recipients(Vec<Holder>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    role: Role,
    key: Recipient,
}

impl Recipients {
    /// Of these two kinds.
    ///
    /// # Errors
    /// There is no escrow.
    pub fn new(
        escrow: impl IntoIterator<Item = Recipient>,
        readers: impl IntoIterator<Item = Recipient>,
    ) -> Result<Self, KeyError> {
        let mut all: Vec<_> = escrow.into_iter().map(|key| Holder { role: Role::Escrow, key }).collect();
        if all.is_empty() {
            return Err(KeyError::NoEscrow);
        }
        all.extend(readers.into_iter().map(|key| Holder { role: Role::Reader, key }));
        Ok(Self(all))
    }

    /// Each with its role.
    pub fn iter(&self) -> impl Iterator<Item = (Role, Recipient)> + '_ {
        self.0.iter().map(|holder| (holder.role, holder.key))
    }
}

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let all = Vec::<Holder>::deserialize(from)?;
        let of = |role: Role| all.iter().filter(move |holder| holder.role == role).map(|holder| holder.key);
        Self::new(of(Role::Escrow), of(Role::Reader)).map_err(serde::de::Error::custom)
    }
}

/// A private key. It is not shown, and is wiped from memory.
pub struct Identity(SecretBox<[u8; 32]>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        random().map(|key| Self(SecretBox::new(Box::new(key))))
    }

    /// Reads a key file: a key a line, and comments.
    ///
    /// # Errors
    /// The first line that is neither, or that there is none.
    pub fn read_all(text: &str) -> Result<Vec<Self>, KeyError> {
        let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let keys = keys.map(|(number, line)| Self::of(line).ok_or(KeyError::NoIdentity(number)));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(KeyError::NoKeys) } else { Ok(keys) }
    }

    fn of(line: &str) -> Option<Self> {
        let (_, data) = bech32::decode(line).filter(|(hrp, _)| hrp == PRIVATE)?;
        Some(Self(SecretBox::new(Box::new(<[u8; 32]>::try_from(data).ok()?))))
    }

    /// As it stands in a key file. A secret.
    #[must_use]
    pub fn to_secret_text(&self) -> String {
        bech32::encode(PRIVATE, self.0.expose_secret()).to_ascii_uppercase()
    }

    /// Its public half.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(MontgomeryPoint::mul_base_clamped(*self.0.expose_secret()).to_bytes())
    }

    pub(super) fn agree(&self, share: [u8; 32]) -> [u8; 32] {
        MontgomeryPoint(share).mul_clamped(*self.0.expose_secret()).to_bytes()
    }
}

/// Random bytes for a key.
pub(super) fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
    Ok(bytes)
}
