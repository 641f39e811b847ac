//! iceoryx2's publish-subscribe at the jobs of ours_turns and ours_flow.
//!
//!   peer_iceoryx2 turns ROUNDS | flow COUNT
//!
//! As its examples set it up: services between processes, here on two threads of one; payloads of 64 bytes; no message may be lost.
use core::time::Duration;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;
use std::time::Instant;

type Payload = [u8; 64];
type Fault = Box<dyn core::error::Error>;
type Service = PortFactory<ipc::Service, Payload, ()>;

const BUFFER: usize = 1024;

fn pin(core: usize) {
    unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, core::mem::size_of::<libc::cpu_set_t>(), &set);
    }
}

fn service(node: &Node<ipc::Service>, name: &str) -> Result<Service, Fault> {
    let name = format!("shmgate-bench/{}/{}", std::process::id(), name);
    Ok(node
        .service_builder(&name.as_str().try_into()?)
        .publish_subscribe::<Payload>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(BUFFER)
        .open_or_create()?)
}

fn turns(rounds: usize) -> Result<(), Fault> {
    let unmeasured = rounds / 10 + 1000;
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let (ping, pong) = (service(&node, "ping")?, service(&node, "pong")?);
    let publisher = ping.publisher_builder().create()?;
    let subscriber = pong.subscriber_builder().create()?;
    let ready = std::sync::Arc::new(std::sync::Barrier::new(2));
    let other = ready.clone();
    let answers = std::thread::spawn(move || {
        let run = || -> Result<(), Fault> {
            let node = NodeBuilder::new().create::<ipc::Service>()?;
            let (ping, pong) = (service(&node, "ping")?, service(&node, "pong")?);
            let subscriber = ping.subscriber_builder().create()?;
            let publisher = pong.publisher_builder().create()?;
            pin(1);
            other.wait();
            for _ in 0..rounds + unmeasured {
                loop {
                    if let Some(sample) = subscriber.receive()? {
                        publisher.loan_uninit()?.write_payload(*sample).send()?;
                        break;
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(100));
            Ok(())
        };
        run().expect("the answering side");
    });
    ready.wait();
    pin(0);
    let mut times: Vec<u64> = Vec::with_capacity(rounds);
    let mut payload: Payload = [b'.'; 64];
    let mut before = Instant::now();
    for i in 0..rounds + unmeasured {
        publisher.loan_uninit()?.write_payload(payload).send()?;
        loop {
            if let Some(sample) = subscriber.receive()? {
                payload = *sample;
                break;
            }
        }
        let now = Instant::now();
        if i >= unmeasured {
            times.push((now - before).as_nanos() as u64 / 2);
        }
        before = now;
    }
    answers.join().map_err(|_| "the answering side has failed")?;
    times.sort_unstable();
    let quantile = |part: f64| times[((part * rounds as f64) as usize).min(rounds - 1)];
    let points: Vec<String> = (0..=99).map(|i| i as f64 / 100.0).chain([0.993, 0.995, 0.997, 0.999, 1.0]).map(|p| format!("[{}, {}]", p, quantile(p))).collect();
    println!("{{\"p50\": {}, \"p99\": {}, \"p999\": {}, \"quantiles\": [{}]}}", quantile(0.5), quantile(0.99), quantile(0.999), points.join(", "));
    Ok(())
}

fn flow(count: usize) -> Result<(), Fault> {
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let subscriber = service(&node, "flow")?.subscriber_builder().buffer_size(BUFFER).create()?;
    let writer = std::thread::spawn(move || {
        let run = || -> Result<(), Fault> {
            let node = NodeBuilder::new().create::<ipc::Service>()?;
            // Full: the publisher waits, which is iceoryx2's own way to lose nothing.
            let publisher = service(&node, "flow")?.publisher_builder().create()?;
            let payload: Payload = [b'.'; 64];
            pin(0);
            for _ in 0..count {
                publisher.loan_uninit()?.write_payload(payload).send()?;
            }
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        };
        run().expect("the writing side");
    });
    pin(1);
    let mut received = 0;
    let mut begin = Instant::now();
    let mut sum = 0u64;
    while received < count {
        if let Some(sample) = subscriber.receive()? {
            let copy: Payload = *sample;
            sum = sum.wrapping_add(copy[received % 64] as u64);
            received += 1;
            if received == 1 {
                begin = Instant::now();
            }
        }
    }
    let took = begin.elapsed();
    writer.join().map_err(|_| "the writing side has failed")?;
    println!("{{\"rate\": {:.0}, \"sum\": {}}}", (received - 1) as f64 / took.as_secs_f64(), sum);
    Ok(())
}

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() != 3 {
        return Err("usage: peer_iceoryx2 turns ROUNDS | flow COUNT".into());
    }
    let count = arguments[2].parse()?;
    if arguments[1] == "turns" {
        turns(count)
    } else {
        flow(count)
    }
}
