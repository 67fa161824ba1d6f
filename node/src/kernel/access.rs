//! Whether a run may have a kernel setting, and making it.
//!
//! Four have to agree: the reconciler, that the owner of the job is privileged **now** and the node lists it; the node's
//! manifest, as this agent holds it; the policy of the host; and the kernel. What a job declares may begin without a
//! connection, by the manifest that is held; what a run asks for while it goes on waits for no connection and is refused.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time};
use tonic::{Code, Status};
use tracing::{info, warn};

use almanac_proto::{
    convert,
    v1::{self, kernel_setting::What},
};
use almanac_schemas::{
    NodeSpec, RunRole,
    container::Network,
    job::KernelSettings,
    kernel::{self, KernelFile, Setting, Sysctl},
    node::{KernelAllowance, NodeRole},
};

use crate::{
    container::{ContainerName, View},
    journal::{Journal, JournalError, OpenRun},
    link::{Link, problem, settled},
    policy::Policy,
    run::{Order, RunKey},
    runtime::{Runtime, chain},
    state_dir::StateDir,
};

use super::{
    KernelError,
    changes::Changes,
    namespace::{self, NamespaceError},
    record::{self, By},
};

/// How long the reconciler is waited for. A run that is due waits as long.
const PATIENCE: Duration = Duration::from_secs(2);

/// The kernel, as runs may set it. Clones share it.
#[derive(Clone)]
pub struct Kernel(Arc<Shared>);

struct Shared {
    link: Link,
    runtime: Arc<dyn Runtime>,
    policy: Arc<Policy>,
    /// What the node's manifest allows, as it is held.
    allowance: watch::Sender<KernelAllowance>,
    changes: Changes,
}

/// What the reconciler says.
enum Answer {
    Allowed,
    Refused(String),
    /// Nothing; why.
    Silent(String),
}

impl Kernel {
    /// The kernel of this boot of the host. Until a manifest is held, nothing is allowed.
    pub fn new(
        link: Link,
        runtime: Arc<dyn Runtime>,
        policy: Arc<Policy>,
        journal: Journal,
        state_dir: Arc<StateDir>,
        boot: String,
    ) -> Self {
        let changes = Changes::new(journal, state_dir, boot);
        Self(Arc::new(Shared { link, runtime, policy, allowance: watch::Sender::default(), changes }))
    }

    /// Takes what the node's manifest allows.
    pub fn allow(&self, node: &NodeSpec) {
        let listed = node.kernel.clone().filter(|_| node.role == NodeRole::Privileged);
        self.0.allowance.send_replace(listed.unwrap_or_default());
    }

    /// Puts back what an agent before this one did not.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read or written.
    pub async fn recover(&self, open: &[OpenRun]) -> Result<(), JournalError> {
        self.0.changes.recover(open).await
    }

    /// Lets a run have settings from now on.
    pub async fn begin(&self, key: RunKey) {
        self.0.changes.begin(key).await;
    }

    /// Puts back all that a run has changed on the host. From now on it has no settings.
    pub async fn end(&self, key: RunKey) {
        self.0.changes.put_back(key).await;
    }

    /// Whether a run may have what its job declares.
    ///
    /// # Errors
    ///
    /// When it may not.
    pub async fn check(&self, order: &Order) -> Result<(), KernelError> {
        let declared = declared(order)?;
        // Most jobs declare nothing, and wait for nobody.
        if declared.is_empty() {
            return Ok(());
        }
        for (setting, _) in &declared {
            self.permits(order, setting)?;
        }
        let settings: Vec<&Setting> = declared.iter().map(|(setting, _)| setting).collect();
        match self.ask(order, &settings).await {
            Answer::Allowed => Ok(()),
            Answer::Refused(reason) => Err(KernelError::Unauthorised(reason)),
            Answer::Silent(why) => {
                info!(run = %order.key(), why, "the kernel settings of a run are allowed by the manifest that is held: the reconciler cannot be asked");
                Ok(())
            }
        }
    }

    /// Makes on the host what a job declares. Its sysctls are the container's own already.
    ///
    /// # Errors
    ///
    /// When one cannot be made. What was made is put back with the run.
    pub async fn apply(&self, order: &Order) -> Result<(), KernelError> {
        for (setting, value) in declared(order)? {
            let made = match &setting {
                Setting::Sysctl(_) => Ok(()),
                Setting::File(file) => self.0.changes.change(order.key(), file, &value).await.map(drop),
            };
            self.record(order, By::Job, &setting, &value, made.as_ref().err());
            made?;
        }
        Ok(())
    }

    /// Reads a setting for a run.
    ///
    /// # Errors
    ///
    /// When it may not be read, or cannot.
    pub async fn get(&self, order: &Order, setting: &Setting) -> Result<String, KernelError> {
        self.authorize(order, setting).await?;
        match setting {
            Setting::Sysctl(sysctl) => self.sysctl(order, sysctl, None).await,
            Setting::File(file) => self.0.changes.read(file).await,
        }
    }

    /// Makes a setting for a run, and returns what it is then. What is asked for is recorded, made or not.
    ///
    /// # Errors
    ///
    /// When it may not be made, or cannot.
    pub async fn put(&self, order: &Order, setting: &Setting, text: &str) -> Result<String, KernelError> {
        let value =
            kernel::value(text).map_err(|error| KernelError::NoValue(setting.clone(), error))?.to_owned();
        if !record::has_room(&self.0.changes.outbox(&order.key())) {
            return Err(KernelError::Full);
        }
        let made = self.make(order, setting, &value).await;
        self.record(order, By::Run, setting, &value, made.as_ref().err());
        made
    }

    async fn make(&self, order: &Order, setting: &Setting, value: &str) -> Result<String, KernelError> {
        self.authorize(order, setting).await?;
        match setting {
            Setting::Sysctl(sysctl) => self.sysctl(order, sysctl, Some(value.to_owned())).await,
            Setting::File(file) => self.0.changes.change(order.key(), file, value).await,
        }
    }

    /// Whether everybody who has a say lets a run have a setting now.
    async fn authorize(&self, order: &Order, setting: &Setting) -> Result<(), KernelError> {
        self.permits(order, setting)?;
        match self.ask(order, &[setting]).await {
            Answer::Allowed => Ok(()),
            Answer::Refused(reason) => Err(KernelError::Unauthorised(reason)),
            Answer::Silent(why) => Err(KernelError::Unreachable(why)),
        }
    }

    /// Whether this node lets a run have a setting, as far as it knows by itself.
    fn permits(&self, order: &Order, setting: &Setting) -> Result<(), KernelError> {
        let Shared { runtime, policy, allowance, .. } = &*self.0;
        if runtime.view() == View::Host {
            return Err(KernelError::Process);
        }
        if order.role == RunRole::Server {
            return Err(KernelError::Server);
        }
        if let (Setting::Sysctl(sysctl), Network::Host) = (setting, order.spec.container.network) {
            return Err(KernelError::HostNetwork(sysctl.clone()));
        }
        if !allowance.borrow().allows(setting) {
            return Err(KernelError::Node(setting.clone()));
        }
        if !policy.allows(setting) {
            return Err(KernelError::Host(setting.clone()));
        }
        Ok(())
    }

    /// Asks the reconciler.
    async fn ask(&self, order: &Order, settings: &[&Setting]) -> Answer {
        let link = &self.0.link;
        if !*link.answering().borrow() {
            return Answer::Silent("it does not answer".to_owned());
        }
        let key = order.key();
        let setting = |setting: &&Setting| v1::KernelSetting {
            what: Some(match setting {
                Setting::Sysctl(sysctl) => What::Sysctl(sysctl.as_str().to_owned()),
                Setting::File(file) => What::File(file.as_str().to_owned()),
            }),
        };
        let request = v1::AuthorizeKernelRequest {
            node: link.node.to_string(),
            run_id: key.id.to_string(),
            role: v1::Role::from(key.role).into(),
            job: order.job.to_string(),
            scheduled_at: Some(convert::timestamp(order.scheduled_at.0)),
            settings: settings.iter().map(setting).collect(),
        };
        let mut client = link.client();
        let asked = time::timeout(PATIENCE, client.authorize_kernel(Link::request(request))).await;
        let late = |_| Err(Status::unavailable("it does not answer in time"));
        match asked.unwrap_or_else(late).map_err(settled) {
            Ok(answer) => {
                let v1::AuthorizeKernelResponse { allowed, reason } = answer.into_inner();
                if allowed { Answer::Allowed } else { Answer::Refused(reason) }
            }
            Err(status)
                if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) =>
            {
                Answer::Silent(problem(&status))
            }
            Err(status) => {
                warn!(run = %key, code = ?status.code(), status = status.message(), "the reconciler does not say whether a run may have kernel settings");
                Answer::Refused(problem(&status))
            }
        }
    }

    /// Sets a sysctl of a run's container if there is a value, and reads it.
    async fn sysctl(
        &self,
        order: &Order,
        sysctl: &Sysctl,
        value: Option<String>,
    ) -> Result<String, KernelError> {
        let failed = |source| KernelError::Sysctl { sysctl: sysctl.clone(), source };
        let name = ContainerName::of(&order.key());
        let process = || async {
            let process = self.0.runtime.process(&name).await.map_err(KernelError::Engine)?;
            process.ok_or_else(|| failed(NamespaceError::Gone))
        };
        let first = process().await?;
        let namespace = namespace::of(first).map_err(failed)?;
        // The number may be another process's by now. It is not when the container still has it.
        if process().await? != first {
            return Err(failed(NamespaceError::Gone));
        }
        namespace::within(namespace, sysctl.path(), value).await.map_err(failed)
    }

    fn record(&self, order: &Order, by: By, setting: &Setting, value: &str, problem: Option<&KernelError>) {
        let key = order.key();
        let problem = problem.map(|error| chain(error));
        match &problem {
            None => info!(run = %key, job = %order.job, value, "{setting} is set"),
            Some(problem) => info!(run = %key, job = %order.job, value, problem, "{setting} is not set"),
        }
        if let Err(error) = record::add(&self.0.changes.outbox(&key), by, setting, value, problem.as_deref())
        {
            warn!(run = %key, %error, "it cannot be recorded with a run what was set");
        }
    }
}

/// What a job declares of its own container.
fn declared(order: &Order) -> Result<Vec<(Setting, String)>, KernelError> {
    let Some(KernelSettings { sysctls, files }) =
        order.spec.kernel.as_ref().filter(|_| order.role == RunRole::Client)
    else {
        return Ok(Vec::new());
    };
    let read = |name: &String, setting: Result<Setting, kernel::SettingError>, text: &String| {
        let setting = setting.map_err(|error| KernelError::NoSetting(name.clone(), error))?;
        let value = kernel::value(text).map_err(|error| KernelError::NoValue(setting.clone(), error))?;
        Ok((setting, value.to_owned()))
    };
    let sysctls =
        sysctls.iter().map(|(name, text)| read(name, Sysctl::parse(name).map(Setting::Sysctl), text));
    let files = files.iter().map(|(path, text)| read(path, KernelFile::parse(path).map(Setting::File), text));
    sysctls.chain(files).collect()
}

/// The sysctl of a job that an engine's words are about, if they are about one: it sets them when it starts the container.
pub fn blamed<'a>(order: &'a Order, words: &str) -> Option<&'a str> {
    let sysctls = order.spec.kernel.iter().flat_map(|kernel| kernel.sysctls.keys());
    let is_named = |name: &&String| {
        words.contains(name.as_str())
            || Sysctl::parse(name).is_ok_and(|sysctl| words.contains(&sysctl.path()))
    };
    sysctls
        .map(|name| (name.len(), name))
        .filter(|(_, name)| is_named(name))
        .max()
        .map(|(_, name)| name.as_str())
}
