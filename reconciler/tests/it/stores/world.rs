//! A testbed whose files go to a store, and a node that sends them there.

use std::fs;

use almanac_proto::v1;
use almanac_tests::object_store::{Azurite, RESULTS, S3};
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use crate::{
    harness::{Testbed, Way, http, run_id, whole_run},
    transfers::{at, noise},
};

pub(super) const MIB: usize = 1 << 20;

/// A store that is running.
pub(super) enum Server {
    Azure(Azurite),
    S3(S3),
}

/// A testbed whose files go to a store, by a way that may be bad.
pub(super) struct World {
    pub(super) testbed: Testbed,
    pub(super) way: Way,
    pub(super) server: Server,
}

/// A file of the run of `ping` on London.
#[derive(Clone)]
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) content: Vec<u8>,
}

impl World {
    pub(super) async fn azure() -> Self {
        Self::on(Server::Azure(Azurite::start())).await
    }

    pub(super) async fn s3() -> Self {
        Self::on(Server::S3(S3::start())).await
    }

    pub(super) async fn on(server: Server) -> Self {
        let way = Way::to(server.port()).await;
        let testbed = Testbed::with_store(|testbed| server.settings(testbed, way.port())).await;
        let mut steps = whole_run("ping", "london-01", at());
        steps.truncate(3);
        testbed.report("london-01", steps).await;
        Self { testbed, way, server }
    }

    /// The part of `length` bytes from `start` on, granted.
    pub(super) async fn grant(
        &self,
        file: &File,
        id: &str,
        start: usize,
        length: usize,
        sent: Option<v1::SentPart>,
    ) -> Result<v1::GrantPartResponse, Status> {
        let md5 = md5(&file.content[start..start + length]);
        let request = v1::GrantPartRequest {
            upload_id: id.to_owned(),
            offset: start as u64,
            length: length as u64,
            md5: md5.into(),
            sent,
        };
        self.testbed.agent("london-01").grant_part(request).await.map(tonic::Response::into_inner)
    }

    /// Sends a file from where it is, up to an offset, and says what was sent last.
    pub(super) async fn send(
        &self,
        file: &File,
        begun: &v1::BeginUploadResponse,
        to: usize,
    ) -> Option<v1::SentPart> {
        let bounds = begun.direct.unwrap();
        let mut offset = begun.offset as usize;
        let mut sent = None;
        while offset < to {
            let length = (file.content.len() - offset).min(bounds.least.max(5 << 20) as usize);
            let granted = self.grant(file, &begun.upload_id, offset, length, sent).await.unwrap();
            assert_eq!(granted.offset, offset as u64);
            let request = granted.request.unwrap();
            assert_eq!(request.method, "PUT");
            let answer = make(&request, &request.url, &file.content[offset..offset + length]).await;
            assert!(answer.status().is_success(), "{answer:?}");
            let etag = answer.headers().get("etag").map(|etag| etag.to_str().unwrap().to_owned());
            let (start, etag) = (offset as u64, etag.unwrap_or_default());
            sent = Some(v1::SentPart { offset: start, length: length as u64, etag });
            offset += length;
        }
        sent
    }

    pub(super) async fn begin(&self, file: &File) -> Result<v1::BeginUploadResponse, Status> {
        begin(&self.testbed, file.announcement()).await
    }

    pub(super) async fn commit(&self, id: &str, sent: Option<v1::SentPart>) -> Result<v1::Artifact, Status> {
        let request = v1::CommitUploadRequest { upload_id: id.to_owned(), sent };
        let answer = self.testbed.agent("london-01").commit_upload(request).await?;
        Ok(answer.into_inner().artifact.unwrap())
    }

    /// Does something as soon as the store can be reached again: the reconciler may hold connections to it that were cut.
    pub(super) async fn once_it_can<T>(&self, mut deed: impl AsyncFnMut() -> Result<T, Status>) -> T {
        self.testbed
            .wait_for("the store to be reached", async || match deed().await {
                Err(status) if status.code() == Code::Unavailable => None,
                done => Some(done.unwrap()),
            })
            .await
    }

    pub(super) async fn whole(&self, file: &File) -> Result<v1::Artifact, Status> {
        let begun = self.begin(file).await?;
        let sent = self.send(file, &begun, file.content.len()).await;
        self.commit(&begun.upload_id, sent).await
    }

    pub(super) async fn fetch(&self, file: &File, offset: u64) -> Result<Vec<u8>, Status> {
        let request = v1::DownloadArtifactRequest {
            run_id: run_id("ping", "london-01", at()),
            role: v1::Role::Client.into(),
            name: file.name.to_owned(),
            offset,
        };
        let mut stream = self.testbed.ask("bob").download_artifact(request).await?.into_inner();
        let mut content = vec![];
        while let Some(part) = stream.message().await? {
            content.extend(part.data);
        }
        Ok(content)
    }

    pub(super) async fn grant_download(&self, file: &File) -> Result<v1::GrantDownloadResponse, Status> {
        let request = v1::GrantDownloadRequest {
            run_id: run_id("ping", "london-01", at()),
            role: v1::Role::Client.into(),
            name: file.name.to_owned(),
        };
        self.testbed.ask("bob").grant_download(request).await.map(tonic::Response::into_inner)
    }
}

impl Server {
    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Azure(server) => server.port(),
            Self::S3(server) => server.port(),
        }
    }

    /// What the testbed says of it. The secrets are in files of the testbed's folder.
    pub(super) fn settings(&self, testbed: &Testbed, port: u16) -> String {
        let file = |name: &str, secret: &str| {
            let path = testbed.folder().join(name);
            fs::write(&path, secret).unwrap();
            format!("{{ fromFile: {} }}", path.display())
        };
        match self {
            Self::Azure(_) => {
                let secret = file("secret", &Azurite::connection_string(port));
                format!("store: az://{RESULTS}/pre/fix\ncredentials: {{ connectionString: {secret} }}\n")
            }
            Self::S3(_) => format!(
                "store: s3://{RESULTS}/pre/fix\nendpoint: http://127.0.0.1:{port}\ncredentials:\n  \
                 accessKeyId: {}\n  secretAccessKey: {}\n",
                file("id", S3::KEY_ID),
                file("secret", S3::SECRET)
            ),
        }
    }

    /// What nobody but the reconciler may know.
    pub(super) fn secret(&self) -> &'static str {
        match self {
            Self::Azure(_) => Azurite::KEY,
            Self::S3(_) => S3::SECRET,
        }
    }
}

impl File {
    pub(super) fn new(name: &'static str, length: usize) -> Self {
        Self { name, content: noise(length) }
    }

    pub(super) fn announcement(&self) -> v1::BeginUploadRequest {
        v1::BeginUploadRequest {
            node: "london-01".to_owned(),
            run_id: run_id("ping", "london-01", at()),
            role: v1::Role::Client.into(),
            name: self.name.to_owned(),
            size: self.content.len() as u64,
            sha256: Sha256::digest(&self.content).to_vec().into(),
            content: None,
            direct: true,
        }
    }
}

pub(super) async fn begin(
    testbed: &Testbed,
    file: v1::BeginUploadRequest,
) -> Result<v1::BeginUploadResponse, Status> {
    testbed.agent("london-01").begin_upload(file).await.map(tonic::Response::into_inner)
}

/// Makes a request that was granted, to this address.
pub(super) async fn make(request: &v1::SignedRequest, url: &str, body: &[u8]) -> reqwest::Response {
    let mut making = http().request(request.method.parse().unwrap(), url);
    for (name, value) in &request.headers {
        making = making.header(name, value);
    }
    making.body(body.to_vec()).send().await.unwrap()
}

pub(super) fn md5(content: &[u8]) -> Vec<u8> {
    md5::Md5::digest(content).to_vec()
}
