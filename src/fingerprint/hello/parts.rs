//! What the longer extensions are made of.

use super::HelloError;
use super::reader::Reader;
use super::writer::Writer;

type Result<T = ()> = std::result::Result<T, HelloError>;

/// One entry of `server_name` (RFC 6066 section 3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerName {
    /// The name's type. 0, a host name, is the only one in use.
    pub kind: u8,
    /// The name as it stands, in ASCII for a host name.
    pub name: Vec<u8>,
}

/// The content of `status_request` (RFC 6066 section 8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StatusRequest {
    /// Type 1.
    Ocsp {
        /// Identifiers of responders.
        responders: Vec<Vec<u8>>,
        /// Extensions of the request, in DER.
        extensions: Vec<u8>,
    },
    /// Any other type, and its content.
    Other(u8, Vec<u8>),
}

/// One entry of `key_share` (RFC 8446 section 4.2.8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyShare {
    /// The group.
    pub group: u16,
    /// The public value.
    pub exchange: Vec<u8>,
}

/// The content of `pre_shared_key` (RFC 8446 section 4.2.11).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PreSharedKey {
    /// The tickets offered.
    pub identities: Vec<PskIdentity>,
    /// The proof that each is known.
    pub binders: Binders,
}

/// One ticket of `pre_shared_key`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PskIdentity {
    /// The ticket.
    pub identity: Vec<u8>,
    /// Its age in milliseconds, with the ticket's own offset added modulo 2³².
    pub obfuscated_ticket_age: u32,
}

/// The binders of `pre_shared_key`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Binders {
    /// One for each identity.
    Present(Vec<Vec<u8>>),
    /// The list and its length were cut off, this many bytes, which every enclosing length counts all the same: the form that a
    /// binder is computed over (RFC 8446 section 4.2.11.2).
    Cut(u16),
}

/// The content of `encrypted_client_hello` (RFC 9849 section 5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EncryptedClientHello {
    /// An encrypted hello, or GREASE in its form.
    Outer {
        /// HPKE's key derivation function.
        kdf: u16,
        /// HPKE's cipher.
        aead: u16,
        /// The configuration used.
        config_id: u8,
        /// HPKE's encapsulated key.
        enc: Vec<u8>,
        /// The encrypted hello.
        payload: Vec<u8>,
    },
    /// The mark of an inner hello.
    Inner,
}

impl ServerName {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self> {
        Ok(ServerName {
            kind: r.u8("server_name")?,
            name: r.opaque16("server_name")?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) -> Result {
        w.u8(self.kind);
        w.opaque16("server_name", &self.name)
    }
}

impl StatusRequest {
    const OCSP: u8 = 1;

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self> {
        Ok(match r.u8("status_request")? {
            Self::OCSP => StatusRequest::Ocsp {
                responders: r
                    .vec16("responder_id_list")?
                    .items(|r| r.opaque16("responder_id"))?,
                extensions: r.opaque16("request_extensions")?,
            },
            other => StatusRequest::Other(other, r.remainder().to_vec()),
        })
    }

    pub(super) fn write(&self, w: &mut Writer) -> Result {
        match self {
            StatusRequest::Ocsp {
                responders,
                extensions,
            } => {
                w.u8(Self::OCSP);
                w.vec16("responder_id_list", |w| {
                    responders
                        .iter()
                        .try_for_each(|id| w.opaque16("responder_id", id))
                })?;
                w.opaque16("request_extensions", extensions)
            }
            StatusRequest::Other(kind, content) => {
                w.u8(*kind);
                w.bytes(content);
                Ok(())
            }
        }
    }
}

impl KeyShare {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self> {
        Ok(KeyShare {
            group: r.u16("key_share")?,
            exchange: r.opaque16("key_exchange")?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) -> Result {
        w.u16(self.group);
        w.opaque16("key_exchange", &self.exchange)
    }
}

impl PreSharedKey {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self> {
        let identities = r.vec16("psk_identities")?.items(|r| {
            Ok(PskIdentity {
                identity: r.opaque16("psk_identity")?,
                obfuscated_ticket_age: r.u32("obfuscated_ticket_age")?,
            })
        })?;
        if let Some(missing) = r.take_cut() {
            return Ok(PreSharedKey {
                identities,
                binders: Binders::Cut(missing),
            });
        }
        Ok(PreSharedKey {
            identities,
            binders: Binders::read(r)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) -> Result {
        w.vec16("psk_identities", |w| {
            self.identities.iter().try_for_each(|offered| {
                w.opaque16("psk_identity", &offered.identity)?;
                w.u32(offered.obfuscated_ticket_age);
                Ok(())
            })
        })?;
        match &self.binders {
            Binders::Cut(missing) => {
                w.leave_out(*missing);
                Ok(())
            }
            Binders::Present(binders) => w.vec16("psk_binders", |w| {
                binders
                    .iter()
                    .try_for_each(|binder| w.opaque8("psk_binder", binder))
            }),
        }
    }
}

impl Binders {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self> {
        let binders = r.vec16("psk_binders")?.items(|r| r.opaque8("psk_binder"))?;
        Ok(Binders::Present(binders))
    }
}

impl EncryptedClientHello {
    const OUTER: u8 = 0;
    const INNER: u8 = 1;

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self> {
        let at = r.at();
        match r.u8("encrypted_client_hello")? {
            Self::OUTER => Ok(EncryptedClientHello::Outer {
                kdf: r.u16("encrypted_client_hello")?,
                aead: r.u16("encrypted_client_hello")?,
                config_id: r.u8("encrypted_client_hello")?,
                enc: r.opaque16("encrypted_client_hello.enc")?,
                payload: r.opaque16("encrypted_client_hello.payload")?,
            }),
            Self::INNER => Ok(EncryptedClientHello::Inner),
            other => Err(HelloError::Value {
                field: "encrypted_client_hello",
                at,
                found: other.into(),
            }),
        }
    }

    pub(super) fn write(&self, w: &mut Writer) -> Result {
        match self {
            EncryptedClientHello::Inner => {
                w.u8(Self::INNER);
                Ok(())
            }
            EncryptedClientHello::Outer {
                kdf,
                aead,
                config_id,
                enc,
                payload,
            } => {
                w.u8(Self::OUTER);
                w.u16(*kdf);
                w.u16(*aead);
                w.u8(*config_id);
                w.opaque16("encrypted_client_hello.enc", enc)?;
                w.opaque16("encrypted_client_hello.payload", payload)
            }
        }
    }
}
