//! One test in a process of its own: nothing else opens files or starts threads meanwhile.

use std::fs::File;
use std::hint::black_box;
use std::sync::mpsc;
use std::thread;

use mqtt5_testkit::{open_file_descriptors, resident_bytes, thread_count};

#[test]
fn counts_what_this_process_holds() {
    let (files, threads, memory) = (open_file_descriptors(), thread_count(), resident_bytes());

    let open = [
        File::open("/dev/null").unwrap(),
        File::open("/dev/null").unwrap(),
    ];
    assert_eq!(open_file_descriptors(), files + 2);
    drop(open);
    assert_eq!(open_file_descriptors(), files);

    let (end, ended) = mpsc::channel::<()>();
    let thread = thread::spawn(move || ended.recv());
    assert_eq!(thread_count(), threads + 1);
    drop(end);
    thread.join().unwrap().unwrap_err();
    assert!(mqtt5_testkit::wait_until(
        std::time::Duration::from_secs(10),
        || thread_count() == threads
    ));

    let block = black_box(vec![1_u8; 32 << 20]);
    assert!(resident_bytes() >= memory + (24 << 20));
    drop(block);
}
