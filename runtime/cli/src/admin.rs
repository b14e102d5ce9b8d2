//! Asking the daemon's admin socket: HTTP over a Unix socket.

use crate::failure::Failure;
use clap::Args;
use gpumux_wire::reload::Reload;
use gpumux_wire::status::{FunctionStatus, Status};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Where the daemon answers operators.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdminSocket {
    /// The daemon's admin socket
    #[arg(
        id = "admin_socket",
        long = "admin-socket",
        env = "GPUMUX_ADMIN_SOCKET",
        default_value = "/run/gpumux/admin.sock"
    )]
    path: PathBuf,
}

impl AdminSocket {
    /// The admin socket at `path`.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Asks for the status document and waits for it.
    ///
    /// # Errors
    /// As [`AdminSocket::ask`].
    #[tokio::main(flavor = "current_thread")]
    pub(crate) async fn status(&self) -> Result<Status, Failure> {
        self.ask().await
    }

    /// Asks for the status document.
    ///
    /// # Errors
    /// [`Failure`]: nobody there, or no such answer.
    pub(crate) async fn ask(&self) -> Result<Status, Failure> {
        let body = self.send(Method::GET, "/v1/status").await?;
        serde_json::from_slice(&body).map_err(|error| Failure::BadAnswer(error.to_string()))
    }

    /// Has a function served again that was quarantined.
    ///
    /// # Errors
    /// [`Failure`]: nobody there, or no such function.
    #[tokio::main(flavor = "current_thread")]
    pub(crate) async fn clear(&self, function: &str) -> Result<(), Failure> {
        self.send(Method::POST, &format!("/v1/functions/{}/clear", in_url(function)))
            .await
            .map(drop)
    }

    /// Asks for one function's part of the document.
    ///
    /// # Errors
    /// [`Failure`]: nobody there, or no such function.
    pub(crate) async fn function(&self, name: &str) -> Result<FunctionStatus, Failure> {
        let body = self.send(Method::GET, &format!("/v1/functions/{}", in_url(name))).await?;
        serde_json::from_slice(&body).map_err(|error| Failure::BadAnswer(error.to_string()))
    }

    /// Has the daemon read its configuration anew.
    ///
    /// # Errors
    /// [`Failure`]: nobody there, or no such answer.
    #[tokio::main(flavor = "current_thread")]
    pub(crate) async fn reload(&self) -> Result<Reload, Failure> {
        let body = self.send(Method::POST, "/v1/reload").await?;
        serde_json::from_slice(&body).map_err(|error| Failure::BadAnswer(error.to_string()))
    }

    /// Sends a request without a body, and returns what the daemon answers.
    async fn send(&self, method: Method, path: &str) -> Result<Bytes, Failure> {
        let absent = |source| Failure::DaemonAbsent { path: self.path.clone(), source };
        let stream = UnixStream::connect(&self.path).await.map_err(absent)?;
        let bad = |error: hyper::Error| Failure::BadAnswer(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(bad)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "gpumuxd")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Failure::BadAnswer(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(bad)?;
        let code = response.status();
        let body = response.into_body().collect().await.map_err(bad)?.to_bytes();
        connection.abort();
        match code {
            StatusCode::OK => Ok(body),
            StatusCode::NOT_FOUND => {
                Err(Failure::NotThere(String::from_utf8_lossy(&body).into_owned()))
            }
            code => {
                let said = String::from_utf8_lossy(&body);
                Err(Failure::BadAnswer(format!("{code}: {said}")))
            }
        }
    }
}

/// A name as a part of a URL's path: whatever is typed is one part of it.
fn in_url(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_part_of_a_path() {
        assert_eq!(in_url("embed-2_x"), "embed-2_x");
        assert_eq!(in_url("a/../b c?\u{e9}"), "a%2F%2E%2E%2Fb%20c%3F%C3%A9");
    }
}
