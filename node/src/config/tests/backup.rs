//! `[backup]` and `[[store]]`.

use super::*;
use crate::config::ScheduleKind;

#[test]
fn stores_and_whom_they_are_for() {
    let good = format!(
        "[backup]\nescrow = \"{RECIPIENT}\"\n[[store]]\nname = \"disk\"\ntype = \"files\"\npath = \"/backups/{{node}}\"\n\
         [[store]]\nname = \"b2\"\ntype = \"s3\"\nrequired = false\nendpoint = \"https://s3.example.org\"\nbucket = \"shop\"\n\
         credentials_file = \"/etc/baton/b2\"\n"
    );
    let config = parse(&format!("{GOOD}{good}")).unwrap().config;
    let [disk, bucket] = config.stores.as_slice() else { panic!("{:?}", config.stores) };
    assert_eq!(disk.path.as_deref(), Some(Path::new("/backups/db1")));
    assert!(disk.required && !bucket.required && bucket.region == "us-east-1");
    let shown = render_effective(&parse(&format!("{GOOD}{good}")).unwrap());
    assert_eq!(parse(&shown).unwrap().config, config, "{shown}");
    let no_store = parse(GOOD).unwrap().config;
    assert_eq!(digest(&no_store), digest(&config), "each node may have its own");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    insta::assert_snapshot!(said(
        "[backup]\nengine = \"clone\"\nescrow = \"age1nobody\"\n\
         [[store]]\nname = \"disk\"\ntype = \"files\"\nrequired = false\nbucket = \"shop\"\n\
         [[store]]\nname = \"disk\"\ntype = \"s3\"\nrequired = false\nendpoint = \"https://s3.example.org\"\n"
    ), @r#"
    error    baton.toml:20: backup.engine: clone needs a stage; name a folder
    error    baton.toml:21: backup.escrow: "age1nobody" is no age recipient; write a public key as `age-keygen` prints it, age1…
    error    baton.toml:22: store.path: is missing; a store of type "files" needs it
    error    baton.toml:25: store.required: no store is required, so a backup would count that none has; make one of them so
    error    baton.toml:26: store.bucket: says nothing to a store of type "files"; remove it
    error    baton.toml:27: store.bucket: is missing; a store of type "s3" needs it
    error    baton.toml:27: store.credentials_file: is missing; a store of type "s3" needs it
    error    baton.toml:28: store.name: two stores are named "disk"; give each its own name
    8 errors, 0 warnings: nothing was changed
    "#);
    insta::assert_snapshot!(said("[[store]]\nname = \"disk\"\ntype = \"files\"\npath = \"/backups\"\n"), @r#"
    error    baton.toml: backup.escrow: there are stores and no key to encrypt for; write the public key of one that is kept offline
    1 error, 0 warnings: nothing was changed
    "#);
}

#[test]
fn the_archive_lies_in_a_store() {
    let text = format!(
        "[backup]\nescrow = \"{RECIPIENT}\"\n[archive]\nstore = \"disk\"\nsegment_every = \"2s\"\n\
         [[store]]\nname = \"disk\"\ntype = \"files\"\npath = \"/backups\"\n"
    );
    let loaded = parse(&format!("{GOOD}{text}")).unwrap();
    let archive = &loaded.config.archive;
    assert_eq!((archive.store.as_deref(), archive.segment_mib, archive.spool_mib), (Some("disk"), 16, 1024));
    assert_eq!(archive.segment_every, std::time::Duration::from_secs(2));
    let shown = render_effective(&loaded);
    assert_eq!(parse(&shown).unwrap().config, loaded.config, "{shown}");
    assert_eq!(parse(GOOD).unwrap().config.archive.store, None, "off, unless it is asked for");
    insta::assert_snapshot!(said("[archive]\nstore = \"dusk\"\n"), @r#"
    error    baton.toml:20: archive.store: there is no store named "dusk"; write a [[store]], or the name of another
    1 error, 0 warnings: nothing was changed
    "#);
}

#[test]
fn schedules() {
    let text = "[[backup.schedule]]\nname = \"nightly\"\ncron = \"30 2 * * 1-6\"\ntime_zone = \"UTC\"\n\
                [[backup.schedule]]\nname = \"weekly\"\ncron = \"30 2 * * sun\"\nenabled = false\nallow_writer = true\n\
                kind = \"incremental\"\n";
    let loaded = parse(&format!("{GOOD}{text}")).unwrap();
    let [nightly, weekly] = loaded.config.backup.schedules.as_slice() else {
        panic!("{:?}", loaded.config.backup)
    };
    assert_eq!((nightly.kind, weekly.kind), (ScheduleKind::Full, ScheduleKind::Incremental));
    assert!(nightly.enabled && !nightly.allow_writer && !weekly.enabled && weekly.allow_writer);
    assert_eq!((nightly.cron.as_str(), weekly.time_zone.as_str()), ("30 2 * * 1-6", "UTC"));
    assert_eq!(loaded.config.backup.stale_after, std::time::Duration::from_secs(25 * 3600));
    let shown = render_effective(&loaded);
    assert_eq!(parse(&shown).unwrap().config, loaded.config, "{shown}");
    insta::assert_snapshot!(said(
        "[[backup.schedule]]\nname = \"a\"\ncron = \"0 25 * * *\"\n\
         [[backup.schedule]]\nname = \"b\"\ncron = \"0 2 * * *\"\ntime_zone = \"Mars/Olympus\"\n\
         [[backup.schedule]]\nname = \"c\"\ncron = \"0 2 30 2 *\"\n"
    ), @r#"
    error    baton.toml:21: backup.schedule.cron: its hour "25" is not from 0 to 23
    error    baton.toml:25: backup.schedule.time_zone: this host knows no time zone "Mars/Olympus"; correct the name, install tzdata, or write "UTC"
    error    baton.toml:28: backup.schedule.cron: "0 2 30 2 *" never comes: no such month has that day
    3 errors, 0 warnings: nothing was changed
    "#);
    insta::assert_snapshot!(said(
        "[backup]\nengine = \"dump\"\n[[backup.schedule]]\nname = \"a\"\ncron = \"0 2 * * *\"\nkind = \"incremental\"\n"
    ), @r#"
    error    baton.toml:24: backup.schedule.kind: backup.engine makes no increments; write kind = "full", or leave the engine to Baton
    1 error, 0 warnings: nothing was changed
    "#);
    let twice = "[[backup.schedule]]\nname = \"a\"\ncron = \"0 2 * * *\"\n";
    insta::assert_snapshot!(said(&twice.repeat(2)), @r#"
    error    baton.toml:23: backup.schedule.name: two schedules are named "a"; give each its own name
    1 error, 0 warnings: nothing was changed
    "#);
}
