//! A command line that makes no sense is named and ends the tool with status 2, before anything is sent.

use crate::tool::run;

#[test]
fn a_bad_command_line_is_named() {
    let cases: &[(&[&str], &str)] = &[
        (&["--bogus"], "--bogus: no such option"),
        (&["-x"], "-x: no such option"),
        (
            &["--requests", "many"],
            "--requests: \"many\" is no whole number from 1",
        ),
        (&["--requests", "0"], "--requests: \"0\""),
        (&["--concurrency=-1"], "--concurrency: \"-1\""),
        (&["--connections"], "--connections: needs a value"),
        (&["--timeout", "0"], "--timeout: \"0\""),
        (&["--timeout", "inf"], "--timeout: \"inf\""),
        (&["--hold", "2d"], "--hold: \"2d\" is no span"),
        (&["--hold", "25h"], "--hold: \"25h\" is no span of up to a day"),
        (&["--hold"], "--hold: needs a value"),
        (&["--watch", "--hold", "1s"], "--hold: contradicts --watch"),
        (&["--report"], "--report: needs a value"),
        (&["--json=yes"], "'--json'"),
        (
            &["--profile", "netscape"],
            "--profile: \"netscape\" is no profile; --fingerprints lists them",
        ),
        (&["--dump-hello"], "--dump-hello: needs a value"),
        (&["--http1", "--http2"], "--http2: contradicts"),
        (
            &["--resolve", "a.test:443"],
            "--resolve: \"a.test:443\": not of the form",
        ),
        (&["--resolve", "a.test:443:1.2.3.4,x"], "\"x\" is no IP address"),
        (&["--resolve", "a.test:0:1.2.3.4"], "the port is not a number"),
        (&["--source", "a.test"], "--source: \"a.test\" is no address"),
        (&["--source", "::/129"], "--source: \"::/129\" is no address"),
        (
            &["--proxy", "https://user:pass@a.test:1"],
            "--proxy: proxy: must be http://, socks5:// or socks5h://\n",
        ),
        (
            &["--proxy", "http://a.test"],
            "--proxy: proxy: must have a host and a port",
        ),
        (&["--cacert", "/nowhere.pem"], "--cacert: /nowhere.pem: "),
        (&["--cacert", file!()], "no certificate in it"),
        (&["ftp://a.test/"], "ftp://a.test/: the scheme is not https"),
        (&["http://a.test/"], "http://a.test/: the scheme is http"),
        (
            &["https://u@a.test/"],
            "https://u@a.test/: the URL holds user information",
        ),
        (&["a b"], "a b: "),
    ];
    for (arguments, names) in cases {
        let run = run("probe", arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.err);
        assert!(run.err.contains(names), "{arguments:?}: {}", run.err);
        assert_eq!(run.out, "", "{arguments:?}");
    }
}

#[test]
fn help_names_every_option() {
    let run = run("probe", &["--help"]);
    assert_eq!(run.code, 0);
    for option in [
        "--requests",
        "--concurrency",
        "--connections",
        "--http1",
        "--http2",
        "--resolve",
        "--source",
        "--proxy",
        "--cacert",
        "--deny-private",
        "--timeout",
        "--hold",
        "--watch",
        "--report",
        "--json",
        "--profile",
        "--fingerprints",
    ] {
        assert!(run.out.contains(option), "{option}");
    }
}
