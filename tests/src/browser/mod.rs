//! A real browser on a host of a sandbox: Debian's Chromium without a window, driven through its chromedriver.

mod wire;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::process::Child;

use self::wire::Wire;
use crate::sandbox::{Host, chromium, log_tail, until};

/// For the driver to listen.
const LISTENS: Duration = Duration::from_secs(20);
/// Between two looks at a condition within a page.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How a page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// `light` or `dark`.
    pub scheme: &'static str,
    /// Width of the window, in pixels of CSS.
    pub width: u32,
    /// Height of the window, in pixels of CSS.
    pub height: u32,
}

impl Look {
    /// A desktop in daylight.
    pub const LIGHT: Self = Self { scheme: "light", width: 1_200, height: 900 };
    /// The same at night.
    pub const DARK: Self = Self { scheme: "dark", ..Self::LIGHT };
    /// A small phone.
    pub const PHONE: Self = Self { scheme: "light", width: 360, height: 740 };
}

/// A browser with one window. It ends with this, and at the latest with its sandbox.
#[derive(Debug)]
pub struct Browser {
    wire: Wire,
    session: String,
    log: PathBuf,
    _driver: Child,
}

impl Browser {
    /// Starts one whose connections are the host's own.
    ///
    /// # Errors
    /// When it is not on this machine, or does not start; the message has the end of the driver's log.
    pub async fn start(host: &Host) -> Result<Self> {
        let programs = chromium()?;
        let folder = host.folder().join("browser");
        fs::create_dir_all(&folder)?;
        let log = folder.join("chromedriver.log");
        let output = File::create(&log)?;
        let mut command = host.command(programs.join("chromedriver"));
        command.arg("--port=0").env("HOME", &folder).env("XDG_CACHE_HOME", &folder);
        command.stdout(output.try_clone()?).stderr(output);
        let driver = command.spawn().context("cannot start chromedriver")?;
        let port = async || {
            let said = fs::read_to_string(&log)?;
            let (_, rest) = said.split_once("started successfully on port ").context("no port yet")?;
            let (port, _) = rest.split_once('.').context("no port yet")?;
            Ok(Some(port.parse::<u16>()?))
        };
        let port = until("chromedriver to listen", LISTENS, port).await;
        let port = port.map_err(|error| error.context(log_tail(&log)))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let wire = Wire { host: host.clone(), address };
        let arguments = [
            "--headless",
            // Its own sandbox wants an ordinary user; what it shows here is Baton's own page.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--hide-scrollbars",
            "--no-first-run",
            &format!("--user-data-dir={}", folder.join("profile").display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": programs.join("chromium"), "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let begun = wire.ask("POST", "/session", Some(wanted)).await;
        let begun = begun.map_err(|error| error.context(log_tail(&log)))?;
        let session = begun["sessionId"].as_str().context("a session without an id")?.to_owned();
        let browser = Self { wire, session, log, _driver: driver };
        browser.show(Look::LIGHT).await?;
        Ok(browser)
    }

    async fn ask(&self, method: &str, command: &str, body: Option<Value>) -> Result<Value> {
        let path = format!("/session/{}/{command}", self.session);
        self.wire.ask(method, &path, body).await.map_err(|error| error.context(log_tail(&self.log)))
    }

    /// Opens a page and waits until it has loaded.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.ask("POST", "url", Some(json!({"url": url}))).await.map(drop)
    }

    /// Runs a function's body in the page; what it returns.
    ///
    /// # Errors
    /// What it throws.
    pub async fn run(&self, script: &str) -> Result<Value> {
        self.ask("POST", "execute/sync", Some(json!({"script": script, "args": []}))).await
    }

    /// Waits until an expression is true in the page.
    ///
    /// # Errors
    /// When it is not within `bound`; the message has what the page says.
    pub async fn until(&self, expression: &str, bound: Duration) -> Result<()> {
        let look = async || {
            let holds = self.run(&format!("return Boolean({expression})")).await?;
            if holds == Value::Bool(true) {
                return Ok(Some(()));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            let says = self.run("return document.body.innerText").await?;
            Err(anyhow::anyhow!("{}", says.as_str().unwrap_or_default()))
        };
        until(expression, bound, look).await
    }

    /// A command of the browser's own protocol.
    ///
    /// # Errors
    /// When it fails.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        self.ask("POST", "goog/cdp/execute", Some(json!({"cmd": command, "params": parameters}))).await
    }

    /// Shows what is open, and what will be, in another way.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn show(&self, look: Look) -> Result<()> {
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": look.scheme}]});
        self.devtools("Emulation.setEmulatedMedia", scheme).await?;
        let size =
            json!({"width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await.map(drop)
    }

    /// Whether pages that are opened from now on may run scripts. What [`Browser::run`] runs is none of theirs.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn scripts(&self, may_run: bool) -> Result<()> {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": !may_run})).await.map(drop)
    }

    /// Presses a key, named as WebDriver names it: `\u{e004}` is Tab, `\u{e007}` Enter.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn press(&self, key: char) -> Result<()> {
        let strokes = [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.ask("POST", "actions", Some(actions)).await.map(drop)
    }

    /// What the console has been told since it was last asked for: errors, refusals by the page's policy, all else.
    ///
    /// # Errors
    /// When the browser does not say.
    pub async fn console(&self) -> Result<Vec<String>> {
        let entries = self.ask("POST", "se/log", Some(json!({"type": "browser"}))).await?;
        let entries = entries.as_array().context("a log that is no list")?;
        Ok(entries.iter().map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect())
    }

    /// The page as a PNG, what is below the window too, down to `height_max` pixels.
    ///
    /// # Errors
    /// When the browser does not make one.
    pub async fn picture(&self, height_max: f64) -> Result<Vec<u8>> {
        let size = self.devtools("Page.getLayoutMetrics", json!({})).await?["cssContentSize"].take();
        let height = size["height"].as_f64().context("no height")?.min(height_max);
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1});
        let whole = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = self.devtools("Page.captureScreenshot", whole).await?;
        let picture = STANDARD.decode(taken["data"].as_str().context("no picture")?)?;
        ensure!(picture.starts_with(b"\x89PNG"), "the picture is no PNG");
        Ok(picture)
    }

    /// Ends the browser, and waits until it has.
    ///
    /// # Errors
    /// When it does not end by itself; its sandbox ends it then.
    pub async fn close(self) -> Result<()> {
        let path = format!("/session/{}", self.session);
        self.wire.ask("DELETE", &path, None).await.map(drop)
    }
}
