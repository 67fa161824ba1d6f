//! A server of Git's smart HTTP over TLS: nginx, `fcgiwrap` and `git http-backend`, with an authority of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tokio::net::{TcpStream, UnixStream};

use super::{
    Daemon,
    tool::{free_port, tool},
    wait_for,
};

/// What the server lets in: this user with this password below `/basic/`, and this bearer token below `/bearer/`.
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "correct-horse-battery";
pub(crate) const TOKEN: &str = "glpat-0123456789abcdef";

/// A server of the repositories in a folder: below `/open/`, `/basic/` and `/bearer/`.
pub(crate) struct GitHttps {
    _nginx: Daemon,
    _fcgiwrap: Daemon,
    folder: PathBuf,
    port: u16,
}

impl GitHttps {
    /// Makes certificates below a folder, and serves the repositories that are in it.
    pub(crate) async fn start(repositories: &Path) -> Self {
        let folder = repositories.join("https");
        fs::create_dir(&folder).unwrap();
        certificates(&folder);
        fs::write(folder.join("users"), format!("{USER}:{{PLAIN}}{PASSWORD}\n")).unwrap();
        let socket = folder.join("fcgi.sock");
        let mut command = Command::new("fcgiwrap");
        command.args(["-c", "4", "-s", &format!("unix:{}", socket.display())]);
        let fcgiwrap = Daemon::spawn(command, &folder.join("fcgiwrap.log"));
        let port = free_port();
        fs::write(folder.join("nginx.conf"), configuration(&folder, repositories, port)).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
        command.arg("-e").arg(folder.join("error.log"));
        let nginx = Daemon::spawn(command, &folder.join("nginx.log"));
        wait_for("nginx and fcgiwrap to listen", async || {
            nginx.check();
            fcgiwrap.check();
            UnixStream::connect(&socket).await.ok()?;
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self { _nginx: nginx, _fcgiwrap: fcgiwrap, folder, port }
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of a repository, below one of the places.
    pub(crate) fn address(&self, place: &str, repository: &str) -> String {
        format!("https://127.0.0.1:{}/{place}/{repository}", self.port)
    }

    /// The authority that signed its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A file with a secret.
    pub(crate) fn secret(&self, name: &str, secret: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, format!("{secret}\n")).unwrap();
        path
    }
}

fn certificates(folder: &Path) {
    let openssl = |args: &str| tool(folder, "openssl", &args.split(' ').collect::<Vec<_>>());
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=127.0.0.1"));
    fs::write(folder.join("extensions"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile extensions",
    );
}

fn configuration(folder: &Path, repositories: &Path, port: u16) -> String {
    let backend = Path::new(&tool(folder, "git", &["--exec-path"])).join("git-http-backend");
    let git = |place: &str, guard: &str| {
        format!(
            "location ~ ^/{place}(/.*)$ {{\n\
             {guard}\n\
             fastcgi_pass unix:{}/fcgi.sock;\n\
             fastcgi_param SCRIPT_FILENAME {};\n\
             fastcgi_param GIT_PROJECT_ROOT {};\n\
             fastcgi_param GIT_HTTP_EXPORT_ALL 1;\n\
             fastcgi_param PATH_INFO $1;\n\
             fastcgi_param QUERY_STRING $query_string;\n\
             fastcgi_param REQUEST_METHOD $request_method;\n\
             fastcgi_param CONTENT_TYPE $content_type;\n\
             fastcgi_param CONTENT_LENGTH $content_length;\n\
             fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;\n\
             fastcgi_param GIT_PROTOCOL $http_git_protocol;\n\
             }}\n",
            folder.display(),
            backend.display(),
            repositories.display(),
        )
    };
    let open = git("open", "");
    let basic = git("basic", "auth_basic git; auth_basic_user_file users;");
    let bearer = git("bearer", &format!("if ($http_authorization != \"Bearer {TOKEN}\") {{ return 401; }}"));
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid nginx.pid;\n\
         events {{ worker_connections 64; }}\n\
         http {{\naccess_log access.log;\n\
         client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n\
         server {{\nlisten 127.0.0.1:{port} ssl;\n\
         ssl_certificate server.pem;\nssl_certificate_key server.key;\n\
         {open}{basic}{bearer}}}\n}}\n"
    )
}
