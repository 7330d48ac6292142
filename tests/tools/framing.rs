//! The probe's HTTP/1.1 reader: where an answer ends, and whether its connection may carry another.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::h1::{Answer, exchange};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// What the reader makes of `bytes`, sent in pieces of `piece` and ended with EOF if `ends`.
async fn read(bytes: &[u8], piece: usize, ends: bool) -> Result<Answer, String> {
    let (mut client, mut server) = duplex(REQUEST.len());
    let sending = async {
        let mut request = [0; REQUEST.len()];
        server.read_exact(&mut request).await.unwrap();
        assert_eq!(request, REQUEST);
        for piece in bytes.chunks(piece) {
            // A reader that found fault has gone.
            if server.write_all(piece).await.is_err() {
                return;
            }
        }
        if ends {
            drop(server);
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        answer = exchange(&mut client, REQUEST) => answer.map_err(|failure| failure.to_string()),
        () = async { sending.await; std::future::pending::<()>().await } => unreachable!(),
    }
}

#[tokio::test]
async fn an_answer_ends_where_its_framing_says() {
    let cases: &[(&str, u16, bool)] = &[
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, true),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, true),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            304,
            true,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            200,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\nA;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
            200,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            200,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok",
            200,
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 2\r\n\r\nok",
            200,
            false,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, false),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            200,
            true,
        ),
        // Two framings at once: what one hop takes for a body, another takes for an answer.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
            false,
        ),
    ];
    for &(bytes, status, reusable) in cases {
        for piece in [1, 7, bytes.len()] {
            let answer = read(bytes.as_bytes(), piece, false).await;
            assert_eq!(answer, Ok(Answer { status, reusable }), "{bytes:?} by {piece}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_read_and_not_reused() {
    for bytes in [
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    ] {
        let answer = read(bytes.as_bytes(), 3, true).await;
        assert_eq!(
            answer,
            Ok(Answer {
                status: 200,
                reusable: false
            }),
            "{bytes:?}"
        );
    }
}

#[tokio::test]
async fn bytes_behind_the_answer_forbid_reuse() {
    let answer = read(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
        99,
        false,
    )
    .await;
    assert_eq!(answer.map(|answer| answer.reusable), Ok(false));
}

#[tokio::test]
async fn what_is_no_answer_is_a_failure() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "end of file"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "end of file",
        ),
        ("", "end of file"),
        ("SSH-2.0-x\r\n\r\n", "head does not parse"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "switches protocols"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            "length is no number",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
            "two lengths",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "chunk has no size",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nlong\r\n0\r\n\r\n",
            "longer than it says",
        ),
    ];
    for (bytes, says) in cases {
        let failure = read(bytes.as_bytes(), 4, true).await.unwrap_err();
        assert!(failure.contains(says), "{bytes:?}: {failure}");
    }
}
