//! Staging on the memory file system: what is uploaded, shared, kept and removed.

use flott_filesystem::MemoryFileSystem;

use super::*;

const APPLICATION: &str = "application_1_0001";
const ROOT: &str = "/user/alice/.flott";

struct Fixture {
    files: Arc<MemoryFileSystem>,
    area: StagingArea,
    console: Console,
    local: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let files = Arc::new(MemoryFileSystem::new());
        Self {
            area: StagingArea::new(
                Arc::clone(&files) as Arc<dyn FileSystem>,
                ROOT.to_owned(),
                None,
            ),
            files,
            console: Console::new(),
            local: tempfile::tempdir().unwrap(),
        }
    }

    async fn file(&self, name: &str, content: &str, kind: Kind) -> LocalFile {
        let path = self.local.path().join(name);
        std::fs::write(&path, content).unwrap();
        LocalFile::read(name.to_owned(), path, kind).await.unwrap()
    }

    async fn stage(&self, application: &str, files: &[LocalFile]) -> Vec<Staged> {
        self.area.create_application(application).await.unwrap();
        self.area
            .stage_all(application, files, &self.console)
            .await
            .unwrap()
    }

    async fn permission(&self, path: &str) -> u16 {
        self.files.status(path).await.unwrap().permission & 0o777
    }

    /// Names below the root that are no markers.
    async fn names(&self) -> Vec<String> {
        let all = self.files.list_recursive(ROOT).await.unwrap();
        let names = all
            .iter()
            .filter(|status| !status.is_dir)
            .map(|status| status.path.clone());
        names.filter(|path| !path.contains(MARKER)).collect()
    }
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn content_is_uploaded_once() {
    let fixture = Fixture::new();
    let program = fixture.file("program", "code", Kind::Program).await;
    let first = fixture
        .stage(APPLICATION, std::slice::from_ref(&program))
        .await;
    assert_eq!(first[0].uploaded_bytes, 4);
    let second = fixture
        .stage("application_1_0002", std::slice::from_ref(&program))
        .await;
    assert_eq!(second[0].uploaded_bytes, 0);
    assert_eq!(second[0].file, first[0].file);
    let hash = hex(&program.sha256);
    assert_eq!(
        fixture.names().await,
        [format!("{ROOT}/cache/{hash}/program")]
    );
    assert_eq!(
        first[0].file.url,
        fixture
            .files
            .qualify(&format!("{ROOT}/cache/{hash}/program"))
    );
    let changed = fixture.file("program", "new code", Kind::Program).await;
    let third = fixture.stage("application_1_0003", &[changed]).await;
    assert_eq!(third[0].uploaded_bytes, 8);
    assert_eq!(fixture.names().await.len(), 2);
}

#[tokio::test]
async fn the_users_files_are_private_and_the_engine_is_public_where_all_may_go() {
    let fixture = Fixture::new();
    fixture.files.mkdirs("/user", 0o755).await.unwrap();
    fixture.files.mkdirs("/user/alice", 0o755).await.unwrap();
    let files = [
        fixture
            .file("flott-appmaster", "engine", Kind::Engine)
            .await,
        fixture.file("program", "code", Kind::Program).await,
    ];
    let staged = fixture.stage(APPLICATION, &files).await;
    assert!(staged[0].file.public && !staged[0].file.bundle);
    assert!(!staged[1].file.public && staged[1].file.bundle);
    let directory = |file: &LocalFile| format!("{ROOT}/cache/{}", hex(&file.sha256));
    assert_eq!(fixture.permission(&directory(&files[0])).await, 0o755);
    assert_eq!(
        fixture
            .permission(&format!("{}/flott-appmaster", directory(&files[0])))
            .await,
        0o755
    );
    assert_eq!(fixture.permission(&directory(&files[1])).await, 0o700);
    assert_eq!(
        fixture
            .permission(&format!("{}/program", directory(&files[1])))
            .await,
        0o700
    );
    assert_eq!(
        fixture.permission(&format!("{ROOT}/{APPLICATION}")).await,
        0o700
    );

    fixture
        .files
        .set_permission("/user/alice", 0o700)
        .await
        .unwrap();
    let staged = fixture.stage("application_1_0002", &files).await;
    assert!(
        !staged[0].file.public,
        "nobody else may enter a home of mode 0700"
    );
}

#[tokio::test]
async fn uploads_at_the_same_time_end_in_one_file() {
    let fixture = Fixture::new();
    let program = fixture.file("program", "code", Kind::Program).await;
    let files = std::slice::from_ref(&program);
    let (a, b) = tokio::join!(
        fixture.stage(APPLICATION, files),
        fixture.stage("application_1_0002", files)
    );
    assert_eq!(a[0].file, b[0].file);
    assert_eq!(fixture.names().await.len(), 1, "no temporary file stays");
}

#[tokio::test]
async fn who_comes_second_uses_the_file_of_the_first() {
    let fixture = Fixture::new();
    let program = fixture.file("program", "code", Kind::Program).await;
    let first = fixture
        .stage(APPLICATION, std::slice::from_ref(&program))
        .await;
    let path = format!("{ROOT}/cache/{}/program", hex(&program.sha256));
    // The state of somebody who looked before the first was there.
    fixture
        .area
        .upload(&path, &program, &fixture.console)
        .await
        .unwrap();
    let status = fixture.files.status(&path).await.unwrap();
    assert_eq!(
        status.modification_time_ms,
        first[0].file.modification_time_ms
    );
    assert_eq!(fixture.names().await.len(), 1);
}

#[tokio::test]
async fn damaged_entries_are_replaced() {
    let fixture = Fixture::new();
    let program = fixture.file("program", "code", Kind::Program).await;
    fixture
        .stage(APPLICATION, std::slice::from_ref(&program))
        .await;
    let path = format!("{ROOT}/cache/{}/program", hex(&program.sha256));
    fixture
        .files
        .write_all_atomic(&path, Bytes::from_static(b"co"))
        .await
        .unwrap();
    let staged = fixture
        .stage("application_1_0002", std::slice::from_ref(&program))
        .await;
    assert_eq!((staged[0].uploaded_bytes, staged[0].file.size), (4, 4));
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_is_not_staged() {
    let fixture = Fixture::new();
    let program = fixture.file("program", "code", Kind::Program).await;
    std::fs::write(&program.path, "evil").unwrap();
    let staged = fixture
        .area
        .stage_all(APPLICATION, &[program], &fixture.console)
        .await;
    let message = staged.map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("was changed while"), "{message}");
    assert_eq!(fixture.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn unused_entries_go_unless_an_application_lives() {
    let fixture = Fixture::new();
    let program = fixture.file("program", "code", Kind::Program).await;
    fixture
        .stage(APPLICATION, std::slice::from_ref(&program))
        .await;
    let later = now_ms() + UNUSED_MS + 60_000;
    assert_eq!(
        fixture.area.remove_unused(now_ms()).await.unwrap(),
        0,
        "it is young"
    );
    assert_eq!(
        fixture.area.remove_unused(later).await.unwrap(),
        0,
        "it is used"
    );
    assert_eq!(
        fixture.area.old_applications(now_ms()).await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(
        fixture.area.old_applications(later).await.unwrap(),
        [APPLICATION]
    );
    fixture.area.remove_application(APPLICATION).await.unwrap();
    fixture.area.remove_application(APPLICATION).await.unwrap();
    assert_eq!(
        fixture.area.remove_unused(now_ms()).await.unwrap(),
        0,
        "it is young still"
    );
    assert_eq!(fixture.area.remove_unused(later).await.unwrap(), 1);
    assert_eq!(fixture.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_description_of_an_application_is_private() {
    let fixture = Fixture::new();
    fixture.area.create_application(APPLICATION).await.unwrap();
    let spec = fixture
        .area
        .write_spec(APPLICATION, Bytes::from_static(b"spec"))
        .await
        .unwrap();
    assert_eq!(
        (spec.name.as_str(), spec.size, spec.public),
        (SPEC_FILE, 4, false)
    );
    let path = format!("{ROOT}/{APPLICATION}/{SPEC_FILE}");
    assert_eq!(fixture.permission(&path).await, 0o600);
    assert_eq!(spec.sha256, Sha256::digest(b"spec").to_vec());
}
