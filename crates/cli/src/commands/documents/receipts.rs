//! `vectrion documents receipt`.

use vectrion::client::Client;
use vectrion::v1::{DeletionReceipt, DeletionState, GetDeletionReceiptRequest, ListDeletionReceiptsRequest};

use super::PAGE;
use crate::{
    failure::Failure,
    output::{self, Output},
};

pub(super) async fn run(client: &Client, output: &Output, ids: Vec<String>, limit: usize) -> Result<(), Failure> {
    let mut ingestion = client.ingestion();
    if !ids.is_empty() {
        for document_id in ids {
            let request = GetDeletionReceiptRequest { document_id };
            let receipt = ingestion.get_deletion_receipt(request).await?.into_inner().receipt;
            output.message("DeletionReceipt", &receipt.unwrap_or_default(), describe)?;
        }
        return Ok(());
    }
    let (mut page_token, mut left) = (String::new(), limit);
    loop {
        let request = ListDeletionReceiptsRequest { page_size: PAGE, page_token };
        let response = ingestion.list_deletion_receipts(request).await?.into_inner();
        for receipt in response.receipts.iter().take(left) {
            output.message("DeletionReceipt", receipt, describe)?;
        }
        left = left.saturating_sub(response.receipts.len());
        page_token = response.next_page_token;
        if page_token.is_empty() || left == 0 {
            return Ok(());
        }
    }
}

fn describe(receipt: &DeletionReceipt) -> String {
    let removed = receipt.removed.unwrap_or_default();
    let left = receipt.left.unwrap_or_default();
    let state = match receipt.state() {
        DeletionState::Verified => {
            format!("verified {}: nothing is left", output::time(receipt.verify_time.as_ref()))
        }
        DeletionState::Removed if left.rows + left.points + left.objects > 0 => {
            format!("left: {} rows, {} points, {} objects", left.rows, left.points, left.objects)
        }
        DeletionState::Removed => format!("removed {}, not verified yet", output::time(receipt.end_time.as_ref())),
        DeletionState::Pending | DeletionState::Unspecified => "is being removed".to_owned(),
    };
    format!(
        "{}  asked for {}  {} versions, {} chunks, {} vectors, {} objects, {} bytes  {state}",
        receipt.document_id,
        output::time(receipt.request_time.as_ref()),
        removed.versions,
        removed.chunks,
        removed.points,
        removed.objects,
        removed.bytes,
    )
}
