//! One GET over HTTP/2: a stream of the leased connection.

use hotpool::HotConn;

use crate::failure::Failure;

/// Sends `request` and reads the answer to its end. Answers the status.
///
/// Dropped on the way, it resets the stream; the connection stays sound.
pub(crate) async fn exchange(conn: &mut HotConn, request: http::Request<()>) -> Result<u16, Failure> {
    let (response, _) = conn.h2()?.send_request(request, true).await?;
    let response = response.await?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    body.trailers().await?;
    Ok(status)
}
