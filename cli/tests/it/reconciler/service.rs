//! The calls, each answered by the module of its topic.

use tonic::{Request, Response, Status};

use almanac_proto::v1::{self, testbed_service_server::TestbedService};

use super::{Messages, Reconciler, changes, files, jobs, nodes, runs, steering, syncs, watched};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl TestbedService for Reconciler {
    async fn list_nodes(&self, request: Request<v1::ListNodesRequest>) -> Answer<v1::ListNodesResponse> {
        self.told(&request, nodes::list)
    }

    async fn get_node(&self, request: Request<v1::GetNodeRequest>) -> Answer<v1::GetNodeResponse> {
        self.told(&request, nodes::get)
    }

    async fn set_node_mode(
        &self,
        request: Request<v1::SetNodeModeRequest>,
    ) -> Answer<v1::SetNodeModeResponse> {
        self.told(&request, nodes::set_mode)
    }

    async fn set_scavenger(
        &self,
        request: Request<v1::SetScavengerRequest>,
    ) -> Answer<v1::SetScavengerResponse> {
        self.told(&request, nodes::set_scavenger)
    }

    async fn list_jobs(&self, request: Request<v1::ListJobsRequest>) -> Answer<v1::ListJobsResponse> {
        self.told(&request, jobs::list)
    }

    async fn get_job(&self, request: Request<v1::GetJobRequest>) -> Answer<v1::GetJobResponse> {
        self.told(&request, jobs::get)
    }

    async fn list_occurrences(
        &self,
        request: Request<v1::ListOccurrencesRequest>,
    ) -> Answer<v1::ListOccurrencesResponse> {
        self.told(&request, jobs::list_occurrences)
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Answer<v1::ListRunsResponse> {
        self.told(&request, runs::list)
    }

    async fn cancel_run(&self, request: Request<v1::CancelRunRequest>) -> Answer<v1::CancelRunResponse> {
        self.told(&request, runs::cancel)
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Answer<v1::GetRunResponse> {
        self.told(&request, runs::get)
    }

    async fn list_artifacts(
        &self,
        request: Request<v1::ListArtifactsRequest>,
    ) -> Answer<v1::ListArtifactsResponse> {
        self.told(&request, files::list)
    }

    type DownloadArtifactStream = Messages<v1::DownloadArtifactResponse>;

    async fn download_artifact(
        &self,
        request: Request<v1::DownloadArtifactRequest>,
    ) -> Answer<Self::DownloadArtifactStream> {
        self.told(&request, files::download)
    }

    type WatchTelemetryStream = Messages<v1::WatchTelemetryResponse>;

    async fn watch_telemetry(
        &self,
        request: Request<v1::WatchTelemetryRequest>,
    ) -> Answer<Self::WatchTelemetryStream> {
        self.told(&request, watched::telemetry)
    }

    type TailLogsStream = Messages<v1::TailLogsResponse>;

    async fn tail_logs(&self, request: Request<v1::TailLogsRequest>) -> Answer<Self::TailLogsStream> {
        self.told(&request, watched::log)
    }

    async fn grant_download(
        &self,
        request: Request<v1::GrantDownloadRequest>,
    ) -> Answer<v1::GrantDownloadResponse> {
        self.told(&request, files::grant)
    }

    type DownloadFilesStream = Messages<v1::DownloadFilesResponse>;

    async fn download_files(
        &self,
        request: Request<v1::DownloadFilesRequest>,
    ) -> Answer<Self::DownloadFilesStream> {
        self.told(&request, files::download_many)
    }

    async fn keep_run(&self, request: Request<v1::KeepRunRequest>) -> Answer<v1::KeepRunResponse> {
        self.told(&request, runs::keep)
    }

    async fn unkeep_run(&self, request: Request<v1::UnkeepRunRequest>) -> Answer<v1::UnkeepRunResponse> {
        self.told(&request, runs::unkeep)
    }

    async fn sync_now(&self, request: Request<v1::SyncNowRequest>) -> Answer<v1::SyncNowResponse> {
        self.told(&request, steering::now)
    }

    async fn suspend_sync(
        &self,
        request: Request<v1::SuspendSyncRequest>,
    ) -> Answer<v1::SuspendSyncResponse> {
        self.told(&request, steering::suspend)
    }

    async fn resume_sync(&self, request: Request<v1::ResumeSyncRequest>) -> Answer<v1::ResumeSyncResponse> {
        self.told(&request, steering::resume)
    }

    async fn pin_sync(&self, request: Request<v1::PinSyncRequest>) -> Answer<v1::PinSyncResponse> {
        self.told(&request, steering::pin_at)
    }

    async fn unpin_sync(&self, request: Request<v1::UnpinSyncRequest>) -> Answer<v1::UnpinSyncResponse> {
        self.told(&request, steering::unpin)
    }

    async fn approve_sync(
        &self,
        request: Request<v1::ApproveSyncRequest>,
    ) -> Answer<v1::ApproveSyncResponse> {
        self.told(&request, steering::approve)
    }

    async fn list_sync_actions(
        &self,
        request: Request<v1::ListSyncActionsRequest>,
    ) -> Answer<v1::ListSyncActionsResponse> {
        self.told(&request, steering::list_actions)
    }

    async fn list_changes(
        &self,
        request: Request<v1::ListChangesRequest>,
    ) -> Answer<v1::ListChangesResponse> {
        self.told(&request, changes::of_name)
    }

    async fn get_sync_status(
        &self,
        request: Request<v1::GetSyncStatusRequest>,
    ) -> Answer<v1::GetSyncStatusResponse> {
        self.told(&request, syncs::status)
    }

    async fn list_syncs(&self, request: Request<v1::ListSyncsRequest>) -> Answer<v1::ListSyncsResponse> {
        self.told(&request, syncs::list)
    }

    async fn get_sync(&self, request: Request<v1::GetSyncRequest>) -> Answer<v1::GetSyncResponse> {
        self.told(&request, syncs::get)
    }

    async fn list_sync_findings(
        &self,
        request: Request<v1::ListSyncFindingsRequest>,
    ) -> Answer<v1::ListSyncFindingsResponse> {
        self.told(&request, syncs::list_findings)
    }

    async fn list_sync_changes(
        &self,
        request: Request<v1::ListSyncChangesRequest>,
    ) -> Answer<v1::ListSyncChangesResponse> {
        self.told(&request, changes::of_sync)
    }

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Answer<v1::WhoAmIResponse> {
        self.ask(&request)?;
        Ok(Response::new(v1::WhoAmIResponse {
            name: "alice".to_owned(),
            role: "privileged".to_owned(),
            team: "surrey".to_owned(),
            key: "SHA256:0000000000000000000000000000000000000000000".to_owned(),
        }))
    }
}
