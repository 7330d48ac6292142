//! What is refused says what is wrong and where; what is cut before its binders is understood.

use hotpool::fingerprint::{
    Binders, ClientHello, Extension, HelloError, MAX_MESSAGE, PreSharedKey, ServerName, hellos, to_records,
};

use crate::captures::{bytes, capture};

/// Where the extensions of [`small`] begin: header, version, random, empty session id, one suite, one method, and the list's length.
const EXTENSIONS_AT: usize = 4 + 2 + 32 + 1 + 4 + 2 + 2;

fn small(extensions: Vec<Extension>) -> ClientHello {
    ClientHello {
        legacy_version: 0x0303,
        random: [9; 32],
        session_id: Vec::new(),
        cipher_suites: vec![0x1301],
        compression_methods: vec![0],
        extensions: Some(extensions),
    }
}

/// The error of a hello with one extension of this type and content.
fn error_of(kind: u16, body: &[u8]) -> HelloError {
    // A type without a form carries any content; the type is put in afterwards.
    let mut message = small(vec![Extension::Opaque(0x7777, body.to_vec())])
        .to_message()
        .unwrap();
    message[EXTENSIONS_AT..EXTENSIONS_AT + 2].copy_from_slice(&kind.to_be_bytes());
    ClientHello::from_message(&message).expect_err("must be refused")
}

#[test]
fn every_prefix_of_a_hello_is_short() {
    for name in ["chromium-156-resume-01", "firefox-153esr-00", "go-1.19-00"] {
        let message = &capture(name)[0].message;
        for len in 0..message.len() {
            let error = ClientHello::from_message(&message[..len]).expect_err("half a hello");
            assert!(matches!(error, HelloError::Short { .. }), "{name} {len}: {error}");
        }
        let longer = [message, &[0][..]].concat();
        assert_eq!(
            ClientHello::from_message(&longer),
            Err(HelloError::Trailing {
                field: "client_hello",
                at: message.len(),
                extra: 1
            })
        );
    }
}

#[test]
fn a_broken_list_is_named_with_its_place() {
    let body_at = EXTENSIONS_AT + 4;
    assert_eq!(
        error_of(10, &[0, 3, 0, 29, 0]),
        HelloError::Odd {
            field: "supported_groups",
            at: body_at + 2
        }
    );
    assert_eq!(
        error_of(43, &[4, 3, 4]),
        HelloError::Short {
            field: "supported_versions",
            at: body_at + 1,
            missing: 2
        }
    );
    assert_eq!(
        error_of(28, &[0x40, 1, 0]),
        HelloError::Trailing {
            field: "the extension's content",
            at: body_at + 2,
            extra: 1
        }
    );
    assert_eq!(
        error_of(21, &[0, 0, 7]),
        HelloError::Value {
            field: "padding",
            at: body_at + 2,
            found: 7
        }
    );
    assert_eq!(
        error_of(65_037, &[2]),
        HelloError::Value {
            field: "encrypted_client_hello",
            at: body_at,
            found: 2
        }
    );
    // An extension that must be empty, and one entry of a list that goes past the list's end.
    assert!(matches!(
        error_of(23, &[0]),
        HelloError::Trailing { extra: 1, .. }
    ));
    assert!(
        matches!(error_of(16, &[0, 2, 2, 104]), HelloError::Short { at, .. } if at == body_at + 3),
        "{}",
        error_of(16, &[0, 2, 2, 104])
    );
}

#[test]
fn the_order_of_extensions_is_held_both_ways() {
    let psk = Extension::PreSharedKey(PreSharedKey {
        identities: Vec::new(),
        binders: Binders::Present(Vec::new()),
    });
    let twice = small(vec![Extension::EarlyData, Extension::EarlyData]);
    let duplicate = HelloError::Duplicate {
        kind: 42,
        at: EXTENSIONS_AT + 4,
    };
    assert_eq!(twice.to_message(), Err(duplicate.clone()));
    let after = small(vec![psk, Extension::EarlyData]);
    assert_eq!(
        after.to_message(),
        Err(HelloError::AfterPreSharedKey { kind: 42 })
    );

    let placed = |first: u16, second: u16| {
        let mut message = small(vec![
            Extension::Opaque(0x7777, vec![0; 4]),
            Extension::Opaque(0x7778, Vec::new()),
        ])
        .to_message()
        .unwrap();
        message[EXTENSIONS_AT..EXTENSIONS_AT + 2].copy_from_slice(&first.to_be_bytes());
        message[EXTENSIONS_AT + 8..EXTENSIONS_AT + 10].copy_from_slice(&second.to_be_bytes());
        ClientHello::from_message(&message)
    };
    assert_eq!(
        placed(0x7779, 0x7779),
        Err(HelloError::Duplicate {
            kind: 0x7779,
            at: EXTENSIONS_AT + 8
        })
    );
    assert_eq!(placed(41, 42), Err(HelloError::AfterPreSharedKey { kind: 42 }));
}

#[test]
fn what_does_not_fit_is_not_written() {
    let mut long_id = small(Vec::new());
    long_id.session_id = vec![0; 33];
    assert_eq!(
        long_id.to_message(),
        Err(HelloError::TooLong {
            field: "session_id",
            len: 33,
            limit: 32
        })
    );
    let versions = small(vec![Extension::SupportedVersions(vec![0x0304; 128])]);
    assert_eq!(
        versions.to_message(),
        Err(HelloError::TooLong {
            field: "supported_versions",
            len: 256,
            limit: 255
        })
    );
    let two = small(vec![
        Extension::Opaque(1, vec![0; 40_000]),
        Extension::Opaque(2, vec![0; 40_000]),
    ]);
    assert!(matches!(
        two.to_message(),
        Err(HelloError::TooLong {
            field: "extensions",
            ..
        })
    ));
}

#[test]
fn the_longest_hello_is_read_and_a_longer_one_refused() {
    let mut longest = small(vec![Extension::Opaque(0x7777, vec![0; 0xffff - 4])]);
    longest.session_id = vec![3; 32];
    longest.cipher_suites = vec![0x1301; 0x7fff];
    longest.compression_methods = vec![0; 255];
    let message = longest.to_message().unwrap();
    assert_eq!(message.len(), MAX_MESSAGE);
    assert_eq!(ClientHello::from_message(&message).as_ref(), Ok(&longest));
    let found: Vec<_> = hellos(&to_records(&message, 0x0301, u16::MAX)).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].as_ref().unwrap().hello, longest);

    let mut longer = message.clone();
    longer[1..4].copy_from_slice(&[0xff; 3]);
    let too_long = Err(HelloError::TooLong {
        field: "client_hello",
        len: 0xff_ffff,
        limit: MAX_MESSAGE - 4,
    });
    assert_eq!(ClientHello::from_message(&longer), too_long);
    // In records it is refused as soon as its length is known, and not collected.
    let start = to_records(&longer[..4], 0x0301, 4);
    assert_eq!(hellos(&start).next().unwrap().map(|found| found.hello), too_long);
}

#[test]
fn a_hello_without_extensions_differs_from_one_with_none() {
    let mut hello = small(Vec::new());
    let with_none = hello.to_message().unwrap();
    hello.extensions = None;
    let without = hello.to_message().unwrap();
    assert_eq!(with_none.len(), without.len() + 2);
    assert_eq!(ClientHello::from_message(&without).unwrap().extensions, None);
    assert_eq!(
        ClientHello::from_message(&with_none).unwrap().extensions,
        Some(Vec::new())
    );
}

#[test]
fn a_hello_cut_before_its_binders_is_read_and_written() {
    for name in ["chromium-156-resume-01", "firefox-153esr-resume-01"] {
        let found = &capture(name)[0];
        let Some(Extension::PreSharedKey(keys)) = found.hello.extensions().last() else {
            panic!("{name}: pre_shared_key is not last");
        };
        let Binders::Present(binders) = &keys.binders else {
            panic!("{name}: no binders");
        };
        let missing = 2 + binders.iter().map(|binder| 1 + binder.len()).sum::<usize>();
        let cut = &found.message[..found.message.len() - missing];

        let hello = ClientHello::from_truncated_message(cut).unwrap();
        assert!(hello.is_truncated() && !found.hello.is_truncated());
        let Some(Extension::PreSharedKey(seen)) = hello.extensions().last() else {
            panic!("{name}: pre_shared_key is lost");
        };
        assert_eq!(seen.identities, keys.identities);
        assert_eq!(seen.binders, Binders::Cut(missing as u16));
        assert_eq!(
            hello.to_message().unwrap(),
            cut,
            "the lengths count what is missing"
        );

        // Cut anywhere else it is half a hello, and a whole one is not cut.
        for len in (0..found.message.len()).filter(|len| *len != cut.len()) {
            let error = ClientHello::from_truncated_message(&found.message[..len]);
            assert!(
                matches!(error, Err(HelloError::Short { .. })),
                "{name} {len}: {error:?}"
            );
        }
        let whole = ClientHello::from_truncated_message(&found.message);
        assert_eq!(whole, Err(HelloError::NotTruncated));
        assert!(matches!(
            ClientHello::from_message(cut),
            Err(HelloError::Short { .. })
        ));
    }
    // A hello without pre_shared_key has nothing that may be cut.
    let fresh = &capture("firefox-153esr-00")[0].message;
    for len in 0..fresh.len() {
        assert!(ClientHello::from_truncated_message(&fresh[..len]).is_err());
    }
}

#[test]
fn missing_bytes_that_only_some_lengths_count_are_no_cut() {
    let hello = ClientHello {
        extensions: Some(vec![Extension::PreSharedKey(PreSharedKey {
            identities: Vec::new(),
            binders: Binders::Cut(35),
        })]),
        ..small(Vec::new())
    };
    let cut = hello.to_message().unwrap();
    assert_eq!(ClientHello::from_truncated_message(&cut).as_ref(), Ok(&hello));
    // The last bytes of the lengths: of the message, of the extensions, of pre_shared_key.
    for at in [3, EXTENSIONS_AT - 1, EXTENSIONS_AT + 3] {
        for change in [1, 0xff] {
            let mut other = cut.clone();
            other[at] = other[at].wrapping_add(change);
            assert!(
                ClientHello::from_truncated_message(&other).is_err(),
                "{at} {change}"
            );
        }
    }
}

#[test]
fn a_hello_split_over_records_is_one_hello() {
    let message = &capture("chromium-156-hrr-00")[0].message;
    for limit in [1, 2, 3, 5, 100, 1024, 16_384] {
        let stream = to_records(message, 0x0301, limit);
        let found: Vec<_> = hellos(&stream).collect();
        assert_eq!(found.len(), 1, "{limit}");
        let found = found[0].as_ref().unwrap();
        assert_eq!(&found.message, message);
        assert_eq!(found.records.len(), message.len().div_ceil(limit.into()));
        let lens = found.records.iter().map(|record| usize::from(record.len));
        assert_eq!(lens.sum::<usize>(), message.len());
    }
}

#[test]
fn the_hellos_end_where_the_client_goes_on() {
    let hello = to_records(&capture("go-1.19-00")[0].message, 0x0301, u16::MAX);
    let count = |more: &[u8]| {
        let stream = [&hello[..], more].concat();
        hellos(&stream)
            .map(|found| found.map(drop))
            .collect::<Result<Vec<()>, _>>()
            .map(|found| found.len())
    };
    let ccs = [20, 3, 3, 0, 1, 1];
    assert_eq!(count(&[]), Ok(1));
    assert_eq!(count(&ccs), Ok(1));
    assert_eq!(count(&[&ccs[..], &hello].concat()), Ok(2));
    assert_eq!(count(&hello), Ok(2), "a second hello without ChangeCipherSpec");
    assert_eq!(count(&[23, 3, 3, 0, 2, 9, 9]), Ok(1), "application data");
    assert_eq!(count(&[21, 3, 3, 0, 2, 1, 0]), Ok(1), "an alert");
    assert_eq!(
        count(&[22, 3, 3, 0, 4, 16, 0, 0, 0]),
        Ok(1),
        "ClientKeyExchange of TLS 1.2"
    );
    let at = hello.len();
    assert_eq!(
        count(&[99, 3, 3, 0, 0]),
        Err(HelloError::Value {
            field: "the type of a record",
            at,
            found: 99
        })
    );
    assert_eq!(
        count(&[22, 3, 3, 0, 0]),
        Err(HelloError::Value {
            field: "the length of a record",
            at,
            found: 0
        })
    );
    assert_eq!(
        count(&[22, 3, 3, 0, 4, 1]),
        Err(HelloError::Short {
            field: "a record",
            at,
            missing: 3
        })
    );
    assert_eq!(
        count(&[22, 3, 3]),
        Err(HelloError::Short {
            field: "a record",
            at,
            missing: 2
        })
    );
    assert_eq!(
        count(&[22, 3, 3, 0x40, 1]),
        Err(HelloError::TooLong {
            field: "a record",
            len: 16_385,
            limit: 16_384
        })
    );
    assert!(
        matches!(
            count(&[22, 3, 3, 0, 5, 1, 0, 0, 9, 3]),
            Err(HelloError::Short { missing: 8, .. })
        ),
        "half a hello"
    );
}

#[test]
fn what_does_not_begin_with_a_hello_is_refused() {
    let first = |stream: &[u8]| hellos(stream).next().map(|found| found.expect_err("no hello"));
    assert_eq!(first(&[]), None);
    for stream in [
        &[23, 3, 3, 0, 1, 0][..],      // application data
        &[21, 3, 1, 0, 2, 2, 40],      // an alert
        &[22, 3, 3, 0, 4, 2, 0, 0, 0], // ServerHello
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        assert!(
            matches!(first(stream), Some(HelloError::Value { .. })),
            "{stream:02x?}"
        );
    }
    // After an error there is nothing more.
    let mut found = hellos(&[23, 3, 3, 0, 1, 0]);
    assert!(found.next().unwrap().is_err() && found.next().is_none());
    // A hello must not share its last record with another message (RFC 8446 section 5.1).
    let message = &capture("go-1.19-00")[0].message;
    let joined = to_records(&[message, &[16, 0, 0, 0][..]].concat(), 0x0301, u16::MAX);
    assert!(matches!(
        hellos(&joined).next(),
        Some(Err(HelloError::Trailing { extra: 4, .. }))
    ));
    // ChangeCipherSpec does not stand within a hello.
    let split = to_records(message, 0x0301, 100);
    let inside = [&split[..105], &[20, 3, 3, 0, 1, 1], &split[105..]].concat();
    assert!(matches!(
        hellos(&inside).next(),
        Some(Err(HelloError::Value { found: 20, .. }))
    ));
}

#[test]
fn an_error_reads_as_a_sentence() {
    let name = Extension::ServerName(vec![ServerName {
        kind: 0,
        name: b"peer.test".to_vec(),
    }]);
    let message = small(vec![name]).to_message().unwrap();
    let error = ClientHello::from_message(&message[..40]).unwrap_err();
    assert_eq!(error.to_string(), "client_hello at byte 4 lacks 25 bytes");
    assert_eq!(bytes("go-1.19-00")[0], 22);
}
