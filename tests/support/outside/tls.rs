//! TLS servers of many makers with one set of options. Each answers a request for `/` with what it knows of the connection.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{Outside, Place, Recipe};
use crate::support::certs;
use crate::support::peers_table::Evidence;

/// Whose TLS it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Maker {
    OpenSsl,
    GnuTls,
    Nginx,
    HaProxy,
    Go,
    BoringSsl,
}

/// A TLS server to be started.
#[derive(Clone, Debug)]
pub struct TlsServer {
    pub maker: Maker,
    /// TLS 1.2 alone; else 1.3 as well.
    pub tls12: bool,
    /// The one group that it takes: `P-256`, `P-384`. Empty: what it takes by itself.
    pub group: &'static str,
    /// Whether it asks for a client certificate of [`certs::authority`], in earnest.
    pub clients: bool,
    /// Whether it shows certificate timestamps, of no log.
    pub stamps: bool,
    /// Whatever only this maker has: more arguments.
    pub more: Vec<String>,
}

impl TlsServer {
    /// With nothing asked for.
    pub fn of(maker: Maker) -> Self {
        Self {
            maker,
            tls12: false,
            group: "",
            clients: false,
            stamps: false,
            more: Vec::new(),
        }
    }
}

/// What a server said of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whether TLS 1.3 was spoken; else it was 1.2.
    pub tls13: bool,
    pub resumed: bool,
    pub text: String,
}

impl Said {
    /// Reads the body of an answer.
    pub fn read(text: &str) -> Self {
        // OpenSSL lists what it could have spoken, too; this line alone is of the connection.
        let own = text
            .lines()
            .find(|line| line.starts_with("New, ") || line.starts_with("Reused, "));
        let of_it = own.unwrap_or(text);
        let has = |marks: &[&str]| marks.iter().any(|mark| of_it.contains(mark));
        let tls13 = has(&["TLSv1.3", "TLS1.3"]);
        assert!(tls13 != has(&["TLSv1.2", "TLS1.2"]), "one version: {text}");
        // GnuTLS describes each session, and one that it resumed without the signature of another.
        let unsigned = has(&["<TD>Description:"]) && !has(&["-(ECDSA-"]);
        let resumed = unsigned || has(&["Reused, ", "resumed=true", "resumed=1", "resumed=r"]);
        Said {
            tls13,
            resumed,
            text: text.to_owned(),
        }
    }

    /// The same as evidence of `case`.
    pub fn evidence(&self, server: &Outside, case: &str) -> Evidence {
        Evidence::counted_by(server, case, self.text.len())
    }
}

impl Recipe for TlsServer {
    fn name(&self) -> &'static str {
        match self.maker {
            Maker::OpenSsl => "openssl",
            Maker::GnuTls => "gnutls",
            Maker::Nginx => "nginx",
            Maker::HaProxy => "haproxy",
            Maker::Go => "go",
            Maker::BoringSsl => "boringssl",
        }
    }

    fn program(&self) -> &'static str {
        match self.maker {
            Maker::OpenSsl => "openssl",
            Maker::GnuTls => "gnutls-serv",
            Maker::Nginx => "nginx",
            Maker::HaProxy => "haproxy",
            Maker::Go => go(),
            Maker::BoringSsl => boringssl(),
        }
    }

    fn version_argument(&self) -> &'static str {
        match self.maker {
            Maker::OpenSsl => "version",
            Maker::Nginx | Maker::HaProxy => "-v",
            Maker::GnuTls | Maker::Go | Maker::BoringSsl => "--version",
        }
    }

    fn arguments(&self, place: &Place) -> io::Result<Vec<String>> {
        let authority = place.dir.join("authority.crt");
        std::fs::write(&authority, certs::authority().pem())?;
        let authority = authority.display().to_string();
        let mut arguments = match self.maker {
            Maker::OpenSsl => self.openssl(place, &authority)?,
            Maker::GnuTls => self.gnutls(place, &authority),
            Maker::Nginx => self.nginx(place, &authority)?,
            Maker::HaProxy => self.haproxy(place, &authority)?,
            Maker::Go | Maker::BoringSsl => self.own(place, &authority),
        };
        arguments.extend(self.more.iter().cloned());
        Ok(arguments)
    }
}

impl TlsServer {
    fn openssl(&self, place: &Place, authority: &str) -> io::Result<Vec<String>> {
        let mut words = owned(&["s_server", "-www", "-alpn", "http/1.1", "-accept"]);
        words.push(place_of(place));
        words.extend(owned(&["-cert"]).into_iter().chain([shown(&place.pem.chain)]));
        words.extend(owned(&["-key"]).into_iter().chain([shown(&place.pem.key)]));
        if self.tls12 {
            words.push("-tls1_2".to_owned());
        }
        if !self.group.is_empty() {
            words.extend(owned(&["-groups", self.group]));
        }
        if self.clients {
            words.extend(owned(&[
                "-Verify",
                "1",
                "-verify_return_error",
                "-CAfile",
                authority,
            ]));
        }
        if self.stamps {
            words.extend(["-serverinfo".to_owned(), shown(&self.extensions(place)?)]);
        }
        Ok(words)
    }

    /// The file by which OpenSSL is told of timestamps to show, in TLS 1.2 and 1.3.
    fn extensions(&self, place: &Place) -> io::Result<PathBuf> {
        const TIMESTAMPS: u16 = 18;
        // OpenSSL's numbers for the messages.
        const CLIENT_HELLO: u32 = 0x80;
        const SERVER_HELLO_12: u32 = 0x100;
        const CERTIFICATE_13: u32 = 0x1000;
        let list = timestamps();
        let mut bytes = (CLIENT_HELLO | SERVER_HELLO_12 | CERTIFICATE_13)
            .to_be_bytes()
            .to_vec();
        bytes.extend_from_slice(&TIMESTAMPS.to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(list.len()).expect("a short list").to_be_bytes());
        bytes.extend(list);
        let mark = "SERVERINFOV2 FOR timestamps-----";
        let text = format!("-----BEGIN {mark}\n{}\n-----END {mark}\n", base64(&bytes));
        let file = place.dir.join("extensions.pem");
        std::fs::write(&file, text)?;
        Ok(file)
    }

    fn gnutls(&self, place: &Place, authority: &str) -> Vec<String> {
        let mut priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2".to_owned();
        if !self.tls12 {
            priority.push_str(":+VERS-TLS1.3");
        }
        match self.group {
            "P-256" => priority.push_str(":-GROUP-ALL:+GROUP-SECP256R1"),
            "P-384" => priority.push_str(":-GROUP-ALL:+GROUP-SECP384R1"),
            _ => {}
        }
        let mut words = owned(&["--http", "--alpn=http/1.1"]);
        words.push(format!("--priority={priority}"));
        words.push(format!("--port={}", place.port));
        words.push(format!("--x509certfile={}", shown(&place.pem.chain)));
        words.push(format!("--x509keyfile={}", shown(&place.pem.key)));
        if self.clients {
            words.push(format!("--x509cafile={authority}"));
            words.extend(owned(&["--require-client-cert", "--verify-client-cert"]));
        } else {
            words.push("--disable-client-cert".to_owned());
        }
        words
    }

    fn nginx(&self, place: &Place, authority: &str) -> io::Result<Vec<String>> {
        let mut more = String::new();
        if !self.group.is_empty() {
            more.push_str(&format!("ssl_ecdh_curve {}; ", curve(self.group)));
        }
        if self.clients {
            more.push_str(&format!(
                "ssl_verify_client on; ssl_client_certificate {authority};"
            ));
        }
        if self.stamps {
            let file = self.extensions(place)?;
            more.push_str(&format!("ssl_conf_command ServerInfoFile {};", shown(&file)));
        }
        let versions = if self.tls12 { "TLSv1.2" } else { "TLSv1.2 TLSv1.3" };
        let (chain, key) = (shown(&place.pem.chain), shown(&place.pem.key));
        let text = format!(
            "daemon off; user root; worker_processes 1; pid nginx.pid; error_log error.log info;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
  server {{
    listen {} ssl; ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols {versions};
    ssl_session_cache shared:sessions:1m; {more}
    location / {{ return 200 \"$ssl_protocol resumed=$ssl_session_reused clients=$ssl_client_verify\\n\"; }}
  }}
}}
",
            place_of(place)
        );
        std::fs::write(place.dir.join("nginx.conf"), text)?;
        let dir = shown(&place.dir);
        Ok(owned(&["-p", &dir, "-c", "nginx.conf", "-e", "error.log"]))
    }

    fn haproxy(&self, place: &Place, authority: &str) -> io::Result<Vec<String>> {
        let both = place.dir.join("both.pem");
        let read = |path: &Path| std::fs::read_to_string(path);
        std::fs::write(&both, read(&place.pem.chain)? + &read(&place.pem.key)?)?;
        if self.stamps {
            std::fs::write(place.dir.join("both.pem.sctl"), timestamps())?;
        }
        let mut more = String::new();
        if !self.group.is_empty() {
            more.push_str(&format!(" curves {} ecdhe {}", self.group, curve(self.group)));
        }
        if self.tls12 {
            more.push_str(" no-tlsv13");
        }
        if self.clients {
            more.push_str(&format!(" ca-file {authority} verify required"));
        }
        let text = format!(
            "global
  maxconn 200
defaults
  mode http
  timeout client 10s
  timeout connect 10s
  timeout server 10s
frontend one
  bind {} ssl crt {} alpn http/1.1{more}
  http-request return status 200 content-type text/plain lf-string \"%[ssl_fc_protocol] resumed=%[ssl_fc_is_resumed] clients=%[ssl_c_used]\\n\"
",
            place_of(place),
            shown(&both)
        );
        let file = place.dir.join("haproxy.cfg");
        std::fs::write(&file, text)?;
        Ok(owned(&["-db", "-f", &shown(&file)]))
    }

    fn own(&self, place: &Place, authority: &str) -> Vec<String> {
        let mut words = owned(&["--listen", &place_of(place)]);
        words.extend(owned(&[
            "--chain",
            &shown(&place.pem.chain),
            "--key",
            &shown(&place.pem.key),
        ]));
        if self.tls12 {
            words.push("--tls12".to_owned());
        }
        if !self.group.is_empty() {
            words.extend(owned(&["--groups", self.group]));
        }
        if self.clients {
            words.extend(owned(&["--clients", authority]));
        }
        if self.stamps {
            words.push("--stamps".to_owned());
        }
        words
    }
}

/// A list of two certificate timestamps, of no log (RFC 6962 section 3.3).
fn timestamps() -> Vec<u8> {
    let with_len = |bytes: &[u8]| {
        let len = u16::try_from(bytes.len()).expect("a short list");
        [&len.to_be_bytes()[..], bytes].concat()
    };
    with_len(&[with_len(b"one timestamp"), with_len(b"and another")].concat())
}

/// RFC 4648 section 4, in lines that PEM takes.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let mut three = [0; 3];
        three[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        let digit = |nth: usize| match nth <= group.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * nth) & 0x3f) as usize]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    };
    let lines = bytes
        .chunks(48)
        .map(|line| line.chunks(3).map(group).collect::<String>());
    lines.collect::<Vec<String>>().join("\n")
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn place_of(place: &Place) -> String {
    format!("{}:{}", place.ips[0], place.port)
}

fn curve(group: &str) -> &'static str {
    match group {
        "P-256" => "prime256v1",
        "P-384" => "secp384r1",
        other => panic!("no curve {other}"),
    }
}

/// The server of `tests/go-peer`, built once for each run of the tests. A name that does not exist if Go does not.
fn go() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (source, program) = (root().join("tests/go-peer/main.go"), built("go-peer"));
        let status = Command::new("go")
            .arg("build")
            .arg("-o")
            .arg(&program)
            .arg(source)
            .status();
        match status {
            Ok(status) => assert!(status.success(), "the Go peer builds"),
            Err(_) => return "no-go".to_owned(),
        }
        shown(&program)
    })
}

/// The server of `tests/boringssl`, if somebody has built it: `.ci/deep boringssl` does.
fn boringssl() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| shown(&root().join("target/boringssl/debug/boringssl-peer")))
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn built(name: &str) -> PathBuf {
    let dir = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    dir.join(format!("{name}-{}", std::process::id()))
}
