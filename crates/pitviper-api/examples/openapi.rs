//! Prints the OpenAPI document; `openapi.json` beside the crate is its output.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let document = pitviper_api::routes::openapi_document();
    let text = document.to_pretty_json().map_err(std::io::Error::other)?;
    writeln!(std::io::stdout(), "{text}")
}
