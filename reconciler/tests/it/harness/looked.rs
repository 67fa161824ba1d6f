//! A sync as a whole, gathered from its pages.

use almanac_proto::{
    client::Signed,
    v1::{self, testbed_service_client::TestbedServiceClient},
};

/// What came of a commit.
#[derive(Debug, Clone)]
pub(crate) struct Looked {
    pub(crate) sync: Option<v1::Sync>,
    pub(crate) findings: Vec<v1::Finding>,
    pub(crate) changes: Vec<v1::Change>,
}

impl Looked {
    /// A sync by its id or commit, or the latest if that is empty; none while there is none.
    pub(crate) async fn at(client: &mut TestbedServiceClient<Signed>, id: &str) -> Option<Self> {
        let answer = client.get_sync(v1::GetSyncRequest { id: id.to_owned() }).await.ok()?.into_inner();
        let sync_id = answer.sync.as_ref()?.id;
        let mut looked = Self { sync: answer.sync, findings: vec![], changes: vec![] };
        let mut page = v1::ListSyncFindingsRequest { sync_id, ..Default::default() };
        loop {
            let answer = client.list_sync_findings(page.clone()).await.ok()?.into_inner();
            looked.findings.extend(answer.findings);
            page.page_token = answer.next_page_token;
            if page.page_token.is_empty() {
                break;
            }
        }
        let mut page = v1::ListSyncChangesRequest { sync_id, ..Default::default() };
        loop {
            let answer = client.list_sync_changes(page.clone()).await.ok()?.into_inner();
            looked.changes.extend(answer.changes);
            page.page_token = answer.next_page_token;
            if page.page_token.is_empty() {
                return Some(looked);
            }
        }
    }
}
