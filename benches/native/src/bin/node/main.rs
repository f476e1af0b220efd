//! A JSON-RPC node that costs less than any client: one thread, answers made beforehand, nothing looked at twice.
//!
//! `node CA-FILE` writes its certificate authority to the file and its addresses to standard output, as one line of
//! JSON: plain, TLS, and TLS without HTTP/2. It ends when its standard input is closed.

mod answer;
mod certificate;
mod chain_data;
mod serve;

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::answer::Node;
use crate::certificate::Certificate;

fn main() -> Result<(), Box<dyn Error>> {
    let ca = std::env::args_os().nth(1).ok_or("usage: node CA-FILE")?;
    let certificate = Certificate::issued(Path::new(&ca))?;
    let (h1, any) = (certificate.speaking(&["http/1.1"])?, certificate.speaking(&["h2", "http/1.1"])?);
    let node = Arc::new(Node::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (http, https, https1) = (serve::listen()?, serve::listen()?, serve::listen()?);
        let addresses = serde_json::json!({
            "http": format!("http://{}/", http.local_addr()?),
            "https": format!("https://{}/", https.local_addr()?),
            "https1": format!("https://{}/", https1.local_addr()?),
        });
        writeln!(std::io::stdout(), "{addresses}")?;
        tokio::select! {
            end = serve::plain(http, Arc::clone(&node)) => end?,
            end = serve::tls(https, any, Arc::clone(&node)) => end?,
            end = serve::tls(https1, h1, node) => end?,
            _ = end_of_input() => {}
        }
        Ok(())
    })
}

/// Ready when whoever started us has closed our standard input, or has ended.
fn end_of_input() -> oneshot::Receiver<()> {
    let (open, end) = oneshot::channel();
    std::thread::spawn(move || {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        drop(open);
    });
    end
}
