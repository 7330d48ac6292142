//! Chromium, driven over its DevTools protocol through two pipes: what a page shows, in which light, and what it complains of.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::browser::{Browser, chromium_alone};
use super::{Outside, Place, Program, new_dir};
use crate::support::certs;

/// Longer than anything that a page is asked to wait for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(180);

/// Opens the pipes that the browser takes its commands from and answers to: descriptors 3 and 4.
const SHELL: &str = r#"exec "$@" 3<"$PIPES/commands" 4>"$PIPES/answers""#;

/// One page in a browser of its own. Dropping it ends the browser.
pub struct Page {
    commands: File,
    answers: Receiver<Value>,
    sent: u64,
    session: Option<String>,
    loads: usize,
    complaints: Vec<String>,
    _browser: Outside,
}

impl Page {
    /// Opens `url` in `browser`, which must be Chromium, and waits until it has loaded.
    pub fn open(browser: &Browser, url: &str) -> Self {
        let dir = new_dir("devtools");
        let pipes = ["commands", "answers"].map(|name| dir.join(name));
        let made = Command::new("mkfifo").args(&pipes).status();
        assert!(made.is_ok_and(|made| made.success()), "two pipes");
        // For both directions: so opening one waits for nobody.
        let [commands, answers] = pipes.map(|pipe| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(pipe)
                .expect("a pipe")
        });
        let running = start(browser, dir);
        let mut page = Page {
            commands,
            answers: parsed(answers),
            sent: 0,
            session: None,
            loads: 0,
            complaints: Vec::new(),
            _browser: running,
        };
        let target = page.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = page.call("Target.attachToTarget", attach);
        page.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Runtime", "Log", "Page"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.loads = 0;
        page.call("Page.navigate", json!({ "url": url }));
        while page.loads == 0 {
            page.take();
        }
        page
    }

    /// What an expression of the page's script comes to; of a promise, what it is kept with.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Has its reader prefer `light` or `dark`.
    pub fn prefer(&mut self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    /// Makes it as large as a screen.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// All of it, from its top to its end, as a PNG: on a screen of this width that is high enough.
    pub fn picture(&mut self, width: u32) -> Vec<u8> {
        // Twice: with a scroll bar beside it the page may be higher than without.
        for _ in 0..2 {
            let high = self.evaluate("document.documentElement.scrollHeight");
            let high = high.as_u64().and_then(|high| high.try_into().ok());
            self.resize(width, high.expect("a height"));
        }
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let data = answer["data"].as_str().expect("base64").as_bytes();
        data_encoding::BASE64.decode(data).expect("base64")
    }

    /// What the page or the browser has complained of: errors and warnings in the console, exceptions, what could not be loaded.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Sends a command, and waits for its result.
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut command = json!({ "id": self.sent, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let text = command.to_string() + "\0";
        self.commands.write_all(text.as_bytes()).expect("a command");
        loop {
            let mut answer = self.take();
            if answer["id"] == self.sent {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// The next message; notes what it says of the page.
    fn take(&mut self) -> Value {
        let message = match self.answers.recv_timeout(ANSWERS_WITHIN) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("no answer: {}", self._browser.output()),
            Err(RecvTimeoutError::Disconnected) => panic!("gone: {}", self._browser.output()),
        };
        let params = &message["params"];
        let serious = |level: &Value| matches!(level.as_str(), Some("error" | "warning" | "assert"));
        match message["method"].as_str() {
            Some("Page.loadEventFired") => self.loads += 1,
            Some("Runtime.exceptionThrown") => self.complaints.push(params.to_string()),
            Some("Runtime.consoleAPICalled") if serious(&params["type"]) => {
                self.complaints.push(params.to_string());
            }
            Some("Log.entryAdded") if serious(&params["entry"]["level"]) => {
                self.complaints.push(params.to_string());
            }
            _ => {}
        }
        message
    }
}

fn start(browser: &Browser, dir: PathBuf) -> Outside {
    let mut arguments = vec![
        format!("HOME={}", dir.display()),
        format!("PIPES={}", dir.display()),
        "/bin/sh".to_owned(),
        "-c".to_owned(),
        SHELL.to_owned(),
        "sh".to_owned(),
        browser.program.display().to_string(),
    ];
    arguments.extend(chromium_alone(&dir));
    arguments.extend(["--remote-debugging-pipe", "about:blank"].map(str::to_owned));
    let pem = certs::good().write_pem(&dir, "unused");
    let place = Place {
        dir,
        ips: Vec::new(),
        port: 0,
        pem,
    };
    let version = browser.version().to_owned();
    Outside::spawn(
        browser.name(),
        version,
        place,
        Path::new("/usr/bin/env"),
        &arguments,
    )
}

/// Messages as they come, each ended by a zero byte. The thread ends with the process: the pipe has two ends here.
fn parsed(answers: File) -> Receiver<Value> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(answers).split(0) {
            let Ok(message) = message else { return };
            let message = serde_json::from_slice(&message).expect("JSON");
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}
