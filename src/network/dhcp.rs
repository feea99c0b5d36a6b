//! Asks for an address by DHCP (RFC 2131). Runs behind walls, on a socket that it was given; what it reads may come from
//! anyone on the link.

use crate::error::{Result, failed};
use crate::network::lease::{Lease, Route};
use crate::words::host_name::is_host_name;
use anyhow::Context;
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// Port of clients (RFC 2131, 4.1).
pub const CLIENT_PORT: u16 = 68;
/// Port of servers (RFC 2131, 4.1).
pub const SERVER_PORT: u16 = 67;
/// Pause before a question is asked again; it doubles each time (RFC 2131, 4.1, whose four seconds are for networks of
/// its time).
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// Lease that is asked for, in seconds: it is not renewed while the image comes.
const LEASE: u32 = 3600;
/// Times that an offer is asked for before all begins again.
const REQUESTS: u32 = 3;
/// Smallest message that old servers and relays take, in bytes (RFC 1542, 2.1).
const MESSAGE_MIN: usize = 300;
/// Largest message that is read, in bytes: an Ethernet frame.
const MESSAGE_MAX: usize = 1500;
/// The most name servers, as resolv.conf(5) has it, and the most routes of a lease.
const LISTED_MAX: usize = 16;

/// Opens the socket for DHCP on a card, which may have no address yet.
pub fn socket_on(card: &str) -> Result<UdpSocket> {
    let opening = || format!("opening a socket on {card}");
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).with_context(opening)?;
    socket.bind_device(Some(card.as_bytes())).with_context(opening)?;
    socket.set_broadcast(true).with_context(opening)?;
    socket.set_reuse_address(true).with_context(opening)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, CLIENT_PORT)).into()).with_context(opening)?;
    Ok(socket.into())
}

/// A machine that asks for an address.
pub struct Client<'c> {
    /// Socket on port [`CLIENT_PORT`] of the network card.
    pub socket: &'c UdpSocket,
    /// Address that questions go to: all servers of the link.
    pub server: SocketAddr,
    /// Hardware address, by which the server knows the machine.
    pub mac: [u8; 6],
    /// Number of the exchange: others are not answers.
    pub exchange: u32,
}

impl Client<'_> {
    /// Asks until there is a lease, for at most `patience`.
    pub fn lease(&self, patience: Duration) -> Result<Lease> {
        let begin = Instant::now();
        let end = begin + patience;
        let mut pause = PAUSE;
        while Instant::now() < end {
            // A server that leaves machines to another one answers those that have asked for long.
            let seconds = u16::try_from(begin.elapsed().as_secs()).unwrap_or(u16::MAX);
            self.send(&self.message(MessageType::Discover, seconds))?;
            let offered =
                |answer: &Message| answer.opts().has_msg_type(MessageType::Offer) && lease_of(answer).is_some();
            if let Some(offer) = self.answer(end.min(Instant::now() + pause), offered)? {
                if let Some(lease) = self.request(&offer, seconds, end)? {
                    return Ok(lease);
                }
                thread::sleep(pause.min(end.saturating_duration_since(Instant::now())));
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        let found = format!("no server of DHCP gives an address within {} s", patience.as_secs());
        Err(failed(found, "see that one is on this network, or name the address: flipslot.net="))
    }

    /// Returns the server that offers an address within `patience`, without taking it; `None` if none does.
    pub fn offer(&self, patience: Duration) -> Result<Option<Ipv4Addr>> {
        let end = Instant::now() + patience;
        let mut pause = PAUSE;
        while Instant::now() < end {
            self.send(&self.message(MessageType::Discover, 0))?;
            let offered = |answer: &Message| answer.opts().has_msg_type(MessageType::Offer);
            if let Some(offer) = self.answer(end.min(Instant::now() + pause), offered)? {
                return Ok(Some(server_of(&offer).unwrap_or(Ipv4Addr::UNSPECIFIED)));
            }
            pause *= 2;
        }
        Ok(None)
    }

    /// Asks for what was offered; `None` if the server does not give it.
    fn request(&self, offer: &Message, seconds: u16, end: Instant) -> Result<Option<Lease>> {
        let mut message = self.message(MessageType::Request, seconds);
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(offer.yiaddr()));
        let Some(server) = server_of(offer) else { return Ok(None) };
        message.opts_mut().insert(DhcpOption::ServerIdentifier(server));
        let decided = |answer: &Message| {
            let is_decision = [MessageType::Ack, MessageType::Nak].iter().any(|kind| answer.opts().has_msg_type(*kind));
            is_decision && server_of(answer) == Some(server)
        };
        for _ in 0..REQUESTS {
            self.send(&message)?;
            match self.answer(end.min(Instant::now() + PAUSE), decided)? {
                Some(answer) if answer.opts().has_msg_type(MessageType::Ack) => return Ok(lease_of(&answer)),
                Some(_) => return Ok(None),
                None => {}
            }
        }
        Ok(None)
    }

    /// Returns a message of this kind, without what only some kinds have. `seconds` were spent asking.
    fn message(&self, kind: MessageType, seconds: u16) -> Message {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(self.exchange, none, none, none, none, &self.mac);
        message.set_secs(seconds);
        // The card has no address yet that an answer could be sent to.
        message.set_flags(Flags::default().set_broadcast());
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        message.opts_mut().insert(DhcpOption::ClientIdentifier(identifier(self.mac)));
        message.opts_mut().insert(DhcpOption::AddressLeaseTime(LEASE));
        message.opts_mut().insert(DhcpOption::ParameterRequestList(vec![
            OptionCode::SubnetMask,
            OptionCode::Router,
            OptionCode::DomainNameServer,
            OptionCode::Hostname,
            OptionCode::DomainName,
            OptionCode::InterfaceMtu,
            OptionCode::ClasslessStaticRoute,
        ]));
        message
    }

    fn send(&self, message: &Message) -> Result<()> {
        self.socket.send_to(&encoded(message)?, self.server).context("sending a question of DHCP").map(drop)
    }

    /// Waits for an answer to this machine that `fits`; what cannot be read is passed over.
    fn answer(&self, end: Instant, fits: impl Fn(&Message) -> bool) -> Result<Option<Message>> {
        let mut buffer = [0; MESSAGE_MAX];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left)).context("waiting for DHCP")?;
            let length = match self.socket.recv_from(&mut buffer) {
                Ok((length, _)) => length,
                Err(error) if is_nothing(&error) => continue,
                Err(error) => return Err(error).context("waiting for DHCP"),
            };
            let Ok(answer) = Message::decode(&mut Decoder::new(&buffer[..length])) else { continue };
            let is_ours = answer.opcode() == Opcode::BootReply
                && answer.xid() == self.exchange
                && answer.chaddr().starts_with(&self.mac);
            if is_ours && fits(&answer) {
                return Ok(Some(answer));
            }
        }
    }
}

/// Returns the message by which a lease is given back (RFC 2131, 4.4.6).
pub fn release(mac: [u8; 6], address: Ipv4Addr, server: Ipv4Addr) -> Result<Vec<u8>> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(u32::from(address), address, none, none, none, &mac);
    message.opts_mut().insert(DhcpOption::MessageType(MessageType::Release));
    message.opts_mut().insert(DhcpOption::ServerIdentifier(server));
    message.opts_mut().insert(DhcpOption::ClientIdentifier(identifier(mac)));
    encoded(&message)
}

fn encoded(message: &Message) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).context("writing a message of DHCP")?;
    bytes.resize(bytes.len().max(MESSAGE_MIN), 0);
    Ok(bytes)
}

/// Returns the identifier of a client: the kind of its hardware (1 is Ethernet) and its address (RFC 2132, 9.14), as
/// iPXE has it, too.
fn identifier(mac: [u8; 6]) -> Vec<u8> {
    [&[1][..], &mac].concat()
}

fn is_nothing(error: &io::Error) -> bool {
    [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted].contains(&error.kind())
}

fn server_of(answer: &Message) -> Option<Ipv4Addr> {
    match answer.opts().get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => Some(*server),
        _ => None,
    }
}

/// Reads the lease in a message of a server, whoever it is for; `None` if it is none.
pub fn lease_in(message: &[u8]) -> Option<Lease> {
    lease_of(&Message::decode(&mut Decoder::new(message)).ok()?)
}

/// Returns the lease in an answer; `None` if its address is not one that a machine can have, or if it does not say whose
/// it is (RFC 2131, 4.3.1: servers must).
fn lease_of(answer: &Message) -> Option<Lease> {
    let address = answer.yiaddr();
    let prefix = match answer.opts().get(OptionCode::SubnetMask) {
        Some(DhcpOption::SubnetMask(mask)) => u32::from(*mask).leading_ones(),
        _ => 24,
    };
    let is_odd = address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.is_broadcast();
    if is_odd || !(1..=32).contains(&prefix) {
        return None;
    }
    let dns = match answer.opts().get(OptionCode::DomainNameServer) {
        Some(DhcpOption::DomainNameServer(servers)) => {
            servers.iter().take(LISTED_MAX).copied().map(Into::into).collect()
        }
        _ => Vec::new(),
    };
    let host = match answer.opts().get(OptionCode::Hostname) {
        Some(DhcpOption::Hostname(name)) if is_host_name(name) => Some(name.clone()),
        _ => None,
    };
    let domain = match answer.opts().get(OptionCode::DomainName) {
        Some(DhcpOption::DomainName(name)) if is_host_name(name) => Some(name.clone()),
        _ => None,
    };
    let mtu = match answer.opts().get(OptionCode::InterfaceMtu) {
        Some(DhcpOption::InterfaceMtu(mtu)) => Some(*mtu),
        _ => None,
    };
    let (prefix, server) = (u8::try_from(prefix).ok()?, server_of(answer)?);
    Some(Lease {
        address: IpAddr::V4(address),
        prefix,
        routes: routes(answer),
        dns,
        host,
        domain,
        mtu,
        server: Some(server),
    })
}

/// Returns the routes of an answer: the classless ones, and only without those the router (RFC 3442).
fn routes(answer: &Message) -> Vec<Route> {
    if let Some(DhcpOption::ClasslessStaticRoute(routes)) = answer.opts().get(OptionCode::ClasslessStaticRoute) {
        let route = |(to, via): &(ipnet::Ipv4Net, Ipv4Addr)| Route {
            to: to.network().into(),
            prefix: to.prefix_len(),
            via: (*via).into(),
        };
        return routes.iter().take(LISTED_MAX).map(route).collect();
    }
    match answer.opts().get(OptionCode::Router) {
        Some(DhcpOption::Router(routers)) => routers.iter().take(1).map(|via| Route::to_all((*via).into())).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const EXCHANGE: u32 = 7;

    /// Answers each question of a client with what `answers` returns, and gives the lease.
    fn with_server(patience: Duration, mut answers: impl FnMut(Message) -> Vec<Vec<u8>> + Send) -> Result<Lease> {
        let [client, server] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let to = server.local_addr().unwrap();
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = [0; MESSAGE_MAX];
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let Ok((length, from)) = server.recv_from(&mut buffer) else { continue };
                    let question = Message::decode(&mut Decoder::new(&buffer[..length])).unwrap();
                    for answer in answers(question) {
                        server.send_to(&answer, from).unwrap();
                    }
                }
            });
            let lease = Client { socket: &client, server: to, mac: MAC, exchange: EXCHANGE }.lease(patience);
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            lease
        })
    }

    fn answer(kind: MessageType, address: [u8; 4], server: u8, more: Vec<DhcpOption>) -> Vec<u8> {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(EXCHANGE, none, address.into(), none, none, &MAC);
        message.set_opcode(Opcode::BootReply);
        let server = DhcpOption::ServerIdentifier([10, 0, 0, server].into());
        for option in [DhcpOption::MessageType(kind), server].into_iter().chain(more) {
            message.opts_mut().insert(option);
        }
        encoded(&message).unwrap()
    }

    fn kind_of(question: &Message) -> MessageType {
        question.opts().msg_type().unwrap()
    }

    #[test]
    fn n4_a_lease_says_how_to_reach_what() {
        let mask = || DhcpOption::SubnetMask([255, 255, 252, 0].into());
        let lease = with_server(Duration::from_secs(10), |question| {
            assert_eq!(question.chaddr(), MAC);
            let identifier = question.opts().get(OptionCode::ClientIdentifier);
            assert_eq!(identifier, Some(&DhcpOption::ClientIdentifier(vec![1, 0x52, 0x54, 0, 0x12, 0x34, 0x56])));
            let kind = match kind_of(&question) {
                MessageType::Discover => MessageType::Offer,
                _ => MessageType::Ack,
            };
            let router = DhcpOption::Router(vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()]);
            let dns = DhcpOption::DomainNameServer(vec![[10, 0, 0, 3].into()]);
            let names = [DhcpOption::Hostname("rack1".to_owned()), DhcpOption::DomainName("lab.example".to_owned())];
            vec![answer(kind, [10, 0, 1, 5], 9, [vec![mask(), router, dns], names.into()].concat())]
        });
        let lease = lease.unwrap();
        assert_eq!((lease.address.to_string().as_str(), lease.prefix), ("10.0.1.5", 22));
        assert_eq!(lease.routes, [Route::to_all([10, 0, 0, 1].into())], "the first router counts");
        assert_eq!((lease.dns, lease.host.as_deref()), (vec![[10, 0, 0, 3].into()], Some("rack1")));
        assert_eq!((lease.server, lease.domain.as_deref()), (Some([10, 0, 0, 9].into()), Some("lab.example")));
    }

    #[test]
    fn n4_of_two_servers_that_disagree_the_one_that_was_asked_counts() {
        let lease = with_server(Duration::from_secs(10), |question| match kind_of(&question) {
            MessageType::Discover => {
                vec![
                    answer(MessageType::Offer, [10, 0, 0, 5], 1, vec![]),
                    answer(MessageType::Offer, [10, 0, 0, 6], 2, vec![]),
                ]
            }
            _ => vec![answer(MessageType::Nak, [0; 4], 2, vec![]), answer(MessageType::Ack, [10, 0, 0, 5], 1, vec![])],
        });
        assert_eq!(lease.unwrap().address.to_string(), "10.0.0.5");
    }

    #[test]
    fn n4_a_server_that_takes_its_offer_back_is_asked_again() {
        let mut asked = 0;
        let lease = with_server(Duration::from_secs(10), |question| match kind_of(&question) {
            MessageType::Discover => {
                asked += 1;
                vec![answer(MessageType::Offer, [10, 0, 0, asked], 1, vec![])]
            }
            _ if asked == 1 => vec![answer(MessageType::Nak, [0; 4], 1, vec![])],
            _ => vec![answer(MessageType::Ack, [10, 0, 0, asked], 1, vec![])],
        });
        assert_eq!(lease.unwrap().address.to_string(), "10.0.0.2");
    }

    #[test]
    fn l7_what_is_not_an_answer_is_passed_over_and_none_is_a_sentence() {
        let of = |kind, address| answer(kind, address, 1, vec![]);
        let odd = |question: &Message| {
            let offer = of(MessageType::Offer, [10, 0, 0, 5]);
            let mut other_exchange = offer.clone();
            other_exchange[7] ^= 1;
            let mut other_machine = offer.clone();
            other_machine[30] ^= 1;
            let mut question_back = offer.clone();
            question_back[0] = 1;
            // The end of an option lies behind the message.
            let mut cut = offer[..offer.len().min(245)].to_vec();
            cut.extend([54, 200, 1]);
            let mut odd = vec![other_exchange, other_machine, question_back, cut, vec![], vec![0xff; 1500], vec![2; 3]];
            odd.extend(
                [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]].map(|address| of(MessageType::Offer, address)),
            );
            odd.push(of(MessageType::Ack, [10, 0, 0, 5]));
            if kind_of(question) == MessageType::Discover { odd } else { panic!("nothing of it was an offer") }
        };
        let error = with_server(Duration::from_secs(2), |question| odd(&question)).unwrap_err();
        assert!(error.to_string().contains("no server of DHCP gives an address within 2 s"), "{error}");
    }

    #[test]
    fn a_classless_route_takes_the_place_of_the_router() {
        let to: ipnet::Ipv4Net = "172.16.0.0/12".parse().unwrap();
        let options = || {
            let route = DhcpOption::ClasslessStaticRoute(vec![(to, [10, 0, 0, 7].into())]);
            vec![DhcpOption::Router(vec![[10, 0, 0, 1].into()]), route]
        };
        let message = answer(MessageType::Ack, [10, 0, 0, 5], 1, options());
        let lease = lease_of(&Message::decode(&mut Decoder::new(&message)).unwrap()).unwrap();
        let route = Route { to: [172, 16, 0, 0].into(), prefix: 12, via: [10, 0, 0, 7].into() };
        assert_eq!(lease.routes, [route]);
    }

    #[test]
    fn a_lease_is_given_back_to_its_server() {
        let message = release(MAC, [10, 0, 0, 5].into(), [10, 0, 0, 1].into()).unwrap();
        let message = Message::decode(&mut Decoder::new(&message)).unwrap();
        assert_eq!((kind_of(&message), message.ciaddr()), (MessageType::Release, [10, 0, 0, 5].into()));
        assert_eq!(server_of(&message), Some([10, 0, 0, 1].into()));
    }
}
