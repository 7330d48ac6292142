//! A TLS server on BoringSSL, for the tests: it answers every request with what it knows of the connection.

mod extras;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use boring::ssl::{
    AlpnError, SslAcceptor, SslAcceptorBuilder, SslContextBuilder, SslFiletype, SslMethod, SslOptions,
    SslStream, SslVerifyMode, SslVersion, select_next_proto,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Default)]
struct Options {
    listen: String,
    chain: String,
    key: String,
    group: Option<String>,
    clients: Option<String>,
    tls12: bool,
    stamps: bool,
    compress: bool,
    settings: bool,
    ech: bool,
    /// TLS 1.2 to every second client: what a fleet of unlike servers does.
    older_again: bool,
}

impl Options {
    fn read() -> Result<Self, Failure> {
        let mut options = Options::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or("a value is missing");
            match word.as_str() {
                "--version" => {
                    println!("{}", extras::version());
                    std::process::exit(0);
                }
                "--listen" => options.listen = value()?,
                "--chain" => options.chain = value()?,
                "--key" => options.key = value()?,
                "--groups" => options.group = Some(value()?),
                "--clients" => options.clients = Some(value()?),
                "--tls12" => options.tls12 = true,
                "--stamps" => options.stamps = true,
                "--compress-cert=brotli" => options.compress = true,
                "--settings" => options.settings = true,
                "--ech" => options.ech = true,
                "--older-again" => options.older_again = true,
                other => return Err(format!("{other} is not known").into()),
            }
        }
        Ok(options)
    }

    fn acceptor(&self, tls12: bool) -> Result<SslAcceptor, Failure> {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
        builder.set_certificate_chain_file(&self.chain)?;
        builder.set_private_key_file(&self.key, SslFiletype::PEM)?;
        builder.clear_options(SslOptions::NO_TLSV1_3);
        builder.set_max_proto_version(Some(if tls12 { SslVersion::TLS1_2 } else { SslVersion::TLS1_3 }))?;
        builder.set_curves_list(self.group.as_deref().unwrap_or("X25519MLKEM768:X25519:P-256:P-384"))?;
        let protocols: &'static [u8] = if self.settings { b"\x02h2" } else { b"\x08http/1.1" };
        builder.set_alpn_select_callback(move |_, offered| {
            select_next_proto(protocols, offered).ok_or(AlpnError::NOACK)
        });
        self.extend(&mut builder)?;
        Ok(builder.build())
    }

    fn extend(&self, builder: &mut SslAcceptorBuilder) -> Result<(), Failure> {
        let context: &mut SslContextBuilder = builder;
        // One context for both versions' tickets.
        context.set_session_id_context(b"peer")?;
        extras::fixed_ticket_keys(context)?;
        if let Some(clients) = &self.clients {
            context.set_ca_file(clients)?;
            context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        }
        if self.stamps {
            extras::show_stamps(context)?;
        }
        if self.compress {
            context.add_certificate_compression_algorithm(extras::Brotli)?;
        }
        if self.ech {
            extras::take_encrypted_hellos(context)?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Failure> {
    let options = Arc::new(Options::read()?);
    let usual = options.acceptor(options.tls12)?;
    let older = options.acceptor(true)?;
    let listener = TcpListener::bind(&options.listen)?;
    for (nth, tcp) in listener.incoming().enumerate() {
        let acceptor = if options.older_again && nth % 2 == 1 { &older } else { &usual }.clone();
        let (tcp, options) = (tcp?, Arc::clone(&options));
        std::thread::spawn(move || {
            if let Err(error) = serve(&acceptor, tcp, &options) {
                println!("{error}");
            }
        });
    }
    Ok(())
}

fn serve(acceptor: &SslAcceptor, tcp: TcpStream, options: &Options) -> Result<(), Failure> {
    tcp.set_nodelay(true)?;
    let mut ssl = boring::ssl::Ssl::new(acceptor.context())?;
    if options.settings {
        extras::settle_settings(&mut ssl)?;
    }
    let mut tls = ssl.setup_accept(tcp).handshake().map_err(|error| format!("{error:?}"))?;
    let mut request = Vec::new();
    let mut space = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = tls.read(&mut space)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&space[..count]);
    }
    let body = describe(&tls);
    write!(tls, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())?;
    tls.flush()?;
    tls.shutdown()?;
    Ok(())
}

fn describe(tls: &SslStream<TcpStream>) -> String {
    let ssl = tls.ssl();
    format!(
        "{} resumed={} group={} clients={} settings={}\n",
        ssl.version_str(),
        ssl.session_reused(),
        ssl.curve_name().unwrap_or("none"),
        ssl.peer_certificate().is_some(),
        extras::has_settings(ssl),
    )
}
