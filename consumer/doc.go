// Package consumer runs a [handler.Handler] on a queue. It receives messages, keeps their
// leases, bounds concurrency, carries out verdicts in batches, and drains when it stops.
//
//	c, err := consumer.New(source, h, nil)
//	if err != nil {
//		return err
//	}
//	return c.Run(ctx) // until ctx is done, then drained
//
// # Receiving
//
// A receive asks for the handler slots that will be free when its answer arrives: those
// that are free, and those of the handlers that are expected to return within the
// receive's round trip; and for a batch more, as far as it is handled within another
// round trip or a few milliseconds. Both times are measured, and what varies is predicted
// with caution. With handlers of minutes that is the free slots; with handlers of
// milliseconds no handler waits for a round trip between two messages. At most
// [Config.Concurrency] messages more than there are slots are held or requested, or ten if
// that is more. If the provider does not limit attempts, or does not count a release as
// one, it is two batches, and at most 200 messages together with the slots. A message
// should wait for at most two round trips or one handler's time, and a tenth of its lease,
// which is extended meanwhile; if one waits longer, and for more than 100 µs, receives ask
// for fewer. None should
// wait for longer than a drain would handle it, so that a stop releases none of them.
// [Stats].Waiting counts them, and [handler.Event].Waited is how long each waited. A killed
// process has spent an attempt of each held message, so with handlers of milliseconds it
// spends up to twice as many as with slow ones, and at least a batch's.
//
// One poller long-polls an idle queue, which costs three requests a minute. More pollers, up to
// [Config.MaxPollers], start only while receives come back full and slots are available, and
// retire after the first receive that comes back empty. While the queue is busy a poller
// waits a little for enough free slots to ask for a whole batch.
//
// On an ordered queue most of a batch may be of one group. The slots of a receive then
// follow how many messages of the latest ones had their turn: the others are held without a
// slot. If there are several queues, a queue with few messages long-polls without a slot
// for one or two messages, which then wait for a slot. A receive that holds slots waits for
// at most a second, so that no queue keeps slots that others need. A queue whose receives
// fail, or are held back by a gate of its own, has no share. While a queue of a higher
// priority has messages, a queue has no share and makes no receive.
//
// If an ordered queue counts receives as attempts and limits them, a receive requests only
// as many messages of a group as can be handled within [Config.DrainTimeout], judging by
// the latest receives. A stop releases the tail of a group, which would otherwise lose an
// attempt at each restart. With handlers that take a second or two this is a full batch;
// with slower ones receives are smaller.
//
// # Held messages
//
// Most providers count every receive as an attempt, so a message that is released unhandled
// has lost one. The runtime therefore keeps messages if it can, off their handler slots and
// with their leases extended:
//
//   - a message whose handler postponed it ([handler.Postpone]) runs again here after the
//     delay, as the same attempt;
//   - the failed head of an ordered group runs again here after its retry's delay, as the
//     next attempt, which the runtime counts; a retry without a delay waits until its lease
//     would have ended, which is when the provider would deliver it again;
//   - messages wait for their group, or for a group whose head was given back;
//   - a retry whose delay is longer than the provider's longest is given back when the rest
//     of the delay fits; so is any delayed retry if the provider has no delays.
//
// Receiving pauses while 10,000 messages, or 64 MiB of bodies, are held, or while more than
// 20 messages a slot (at least 1,000) wait for their group. A message is released
// ([drivers.Settlement.Released]) if the wait would leave less than half a lease of the
// provider's longest, if its lease cannot be extended and is about to end, if it waits behind
// [Config.Concurrency] others when its lease would be extended and a release costs no
// attempt, and at the end of a drain. Messages that cannot be held, a crash and a lost lease still cost an attempt on
// SQS and Pub/Sub, and the consumer's count of the attempts of a group's head is then lost.
//
// # Messages that crash the process
//
// A message that crashes its process leaves no verdict and costs an attempt of each message
// that is handled beside it. So a suspect runs alone: a message that has used more than half
// of the attempts of a queue with a dead-letter queue, and that no handler of this process
// has retried. It waits, for at most 30 seconds, until no handler runs and no message is
// unsettled, and receiving pauses meanwhile. Suspects get a tenth of the time alone, a
// reserve at the start, and all of it if there is nothing else; one that waits for longer
// runs beside others. After a start, and after a suspect, receives ask for few messages at
// first.
//
// # Leases
//
// A message that waits here for its turn is kept alive. From the start of its handler on,
// the lease runs down unless the handler asks for it to be kept ([handler.Lease], the
// heartbeat middleware). One timer drives all leases, and extensions are sent in batches.
// When a lease is lost the handler's context is canceled with cause
// [handler.ErrLeaseLost], and its verdict is not carried out.
//
// A handler's context makes what its handler asks for: nothing, a channel, or, for a child
// context, the standard library's. A child needs no goroutine, except those of the first
// handlers of a source that make one.
//
// # Verdicts
//
// Verdicts are gathered into batches of the provider's size. A batch is sent when it is
// full, when its oldest verdict has waited [Config.SettleDelay], or immediately if nothing
// else runs on a queue that is not busy. A verdict that fails is tried again while the
// message's lease lasts. A panic, and a handler that ends its goroutine, are a retry.
//
// A failure of the last attempt that the queue allows is a rejection with that failure as
// its reason, if the queue has a dead-letter queue. A message that was postponed, or
// whose handler was canceled by a stop or a lost lease, has not failed.
//
// # Groups
//
// If the queue is ordered, messages of one group are handled one at a time, in order.
// Waiting messages hold no handler slot. The next message of a group starts when the
// provider has taken the verdict on the one before: until then the provider may deliver that
// one again, here or elsewhere. Acks of groups share requests with others that come while a
// request is on its way, and otherwise do not wait. If a message cannot be settled, or its
// lease is lost, the later messages of its group are released unhandled, unless the message
// itself was received again and is the head of the group.
//
// # Stopping
//
// When Run's context is done, the consumer stops receiving; a pending receive has one
// second to end. Held messages are handled, and their leases extended, for
// [Config.DrainTimeout], if their handlers are likely to return in time (judging by how
// long handlers usually take). The others are released. Then the contexts of handlers that
// still run are canceled with cause [handler.ErrStopped], and they have
// [Config.StopTimeout] to return. Verdicts are flushed, the source is closed, and Run
// returns: nil if all was drained, [ErrDrainTimeout] otherwise. All of that takes at most
// DrainTimeout and StopTimeout together, 30 seconds with the defaults, whatever hangs.
// After [Consumer.Abort] it takes at most StopTimeout. A retry whose delay is longer than
// the provider's longest gets the longest then, and the loss is logged.
//
// # Refused requests
//
// A request that the provider refuses (no permission, no such queue, invalid, unsupported)
// can be a mistake that lasts or one that passes, such as a permission that is being
// changed. Run ends with the error
//
//   - of a refused receive, if no receive has succeeded yet: the configuration is wrong;
//   - of refused settlements, if none has succeeded yet and they are refused for ten
//     seconds: messages would be handled again and again;
//   - of refusals for [Config.GiveUpAfter] in which no receive and no settlement has
//     succeeded; of settlements, in which no settlement has;
//   - of a source that was closed underneath.
//
// Everything else is an outage: it is waited out, and failed requests are tried again, a
// settlement while its lease lasts. Network errors and throttling are outages at the start
// too; credentials that expire later are one, like any refusal. A refused rejection, which
// may be the dead-letter queue's fault, and single messages of a request are not counted.
//
// If settling fails for two seconds, receiving from the queue pauses, because messages
// would be handled, redelivered and spend their attempts. One message every ten seconds is,
// to try a verdict with.
//
// # Time
//
// Leases are judged by the monotonic clock, which no step of the wall clock moves. While a
// machine is suspended that clock stands still and a provider's lease runs down: on Linux
// the consumer asks for how long, before it sends or judges anything, and shortens all
// leases by it. Other systems have no such clock, and a verdict may be late there by as long
// as the machine slept. No request for a message is on its way after its lease has ended: it
// is cut off then, and its verdict is late ([handler.EventLateVerdict]), as is one that had
// not been sent yet. A verdict that the provider refuses, or does not take while the lease
// leaves time for another try, is [Stats.Unsettled].
//
// # User code
//
// Handlers, the methods of their errors, observers, gates, loggers and functions given to
// OnExtend may panic or end their goroutine. A handler that does is retried, with the panic
// and its stack in the log. An observer loses the event, which the others get. A failed gate
// counts as closed and is asked again after a second. A record that the logger could not
// take goes to standard error. An error whose Error method fails is replaced by one that
// names its type.
//
// # Health
//
// [Liveness] fails only if a restart helps: all handlers are stuck, or the receive is, for
// [Config.StallAfter], or Run has returned. An outage, the recovery from it, an idle queue,
// a closed gate and a drain are not reasons. [Readiness] fails before Run, during an outage
// and a drain too.
//
// # The life of a delivery
//
// The rest of this comment is for maintainers of the package.
//
//	received ─▶ held ── start ──▶ running ── accept ──▶ settling ── answer ──▶ done
//	             │ ▲                 │                     ▲
//	             │ │ rerun           │ park                │
//	             │ └───────────── parked ───── nack ───────┤
//	             └─────────────────── nack ────────────────┘
//
// A settling delivery whose request failed is submitted again while its lease lasts.
// loseLease moves a parked delivery to done, a running one when its handler, which is
// canceled, has returned, and a held one when its turn comes.
//
// A held delivery waits for its group, for its time alone, or for a worker. A parked one
// waits for its time; then a successor takes over from it and is held, and the parked one is
// done, so that a handler that keeps its context, message or lease finds them ended. The
// verdict of a settling delivery is being carried out: its handler's, or a nack of a held or
// parked delivery. Who moves a delivery to settling submits it, unless an extension is on
// its way: then the extension's answer submits it.
//
// # Parts
//
// A Consumer has one type for each concern, in the file of its name:
//
//	poller ─▶ slots ─▶ gates ─▶ groups, isolation ─▶ hand ─▶ workers ─▶ settler, parking
//
// A poller acquires slots, asks the gates, and receives. Each delivery is then ready, waits in
// its group, or waits in isolation. Workers run handlers; the settler parks the message or
// carries out its verdict and resolves the group. Beside that flow, the lease of each delivery
// is driven by one timer heap, and the extender sends the extensions; outage, emptiness and
// backlog judge a source; drain ends the consumer; the monitor judges its health; the reporter
// counts, logs and calls observers.
//
// # Locks and invariants
//
// Lock order: delivery.mu, then Consumer.mu, then the leaves: the locks of the timer heaps,
// of the batches, and of outage, emptiness, backlog and probe. No user code (handlers and
// the methods of their errors, observers, gates, hooks, loggers) is called, and no request
// is made, under any of them.
//
//   - At most one delivery of a group is ready, running, parked or settling with a verdict
//     that its group waits for.
//   - A delivery that is not done is in hand: received and counted.
//   - Used slots are those of ready and running deliveries, of a chosen suspect, and of
//     receives. They may exceed Concurrency by messages that had waited in hand; running
//     handlers never do.
//   - At most one extension of a lease is on its way, and none while a settlement is.
//   - No request outlasts the leases that it speaks for.
//   - No time in a shutdown is counted twice: its parts share one budget.
package consumer
