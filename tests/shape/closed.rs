//! Whatever is wrong ends the handshake.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::TLS13;

use crate::support::certs;
use crate::world::{BROWSERS, Browser, Client, Wire, serve, serve_as, server};

/// A length that was changed leaves both sides waiting for what never comes.
const STUCK: Duration = Duration::from_millis(300);

/// Whether a handshake goes through where one byte of the client's stream is changed on its way.
async fn survives(client: &Client, wire: Wire) -> bool {
    match tokio::time::timeout(STUCK, client.talk(wire)).await {
        Ok(connection) => connection.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn one_changed_byte_of_the_hello_is_the_end() {
    const RECORD_HEADER: usize = 5;
    for browser in BROWSERS {
        let client = browser
            .client()
            .configured(|config| config.resumption = rustls::client::Resumption::disabled());
        let config = Arc::new(server(&[], &[&TLS13]));
        let connection = client.talk(serve(&config)).await.unwrap();
        let len = connection.transport().hellos()[0].message.len();
        // The lengths differ from connection to connection with what it draws: the shortest is enough.
        let len = len.min(if browser == Browser::Chromium {
            len - 96
        } else {
            len
        });
        for at in 0..len {
            let mut wire = serve(&config);
            wire.flip = Some((RECORD_HEADER + at, 1 << (at % 8)));
            assert!(!survives(&client, wire).await, "{browser:?}: byte {at}");
        }
        assert!(
            survives(&client, serve(&config)).await,
            "unchanged it goes through"
        );
    }
}

#[tokio::test]
async fn wrong_certificates_are_refused_under_every_profile() {
    let leaves = [
        (certs::wrong_name(), "NotValidForName"),
        (certs::unknown_ca(), "UnknownIssuer"),
        (certs::expired(), "Expired"),
    ];
    for browser in BROWSERS {
        for (leaf, why) in &leaves {
            let error = browser.client().connect(serve_as(leaf)).await.err().unwrap();
            let text = format!("{:?}", error.get_ref().unwrap().downcast_ref::<rustls::Error>());
            assert!(text.contains(*why), "{text}");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
