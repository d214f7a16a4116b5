// Package exechandler hands messages to a command, so that a handler can be
// written in any language. The command "sluice run --exec" is made of it.
//
// There are two ways. [New] runs the command once for each message: any program
// works, and each message pays for the start. [NewPool] starts the command a
// few times and keeps it running (a worker): a handler in Python or Node pays
// for its start once and keeps its connections. Commands are run without a
// shell; [Split] makes words of a line.
//
// # Once a message
//
// The command gets the body on its standard input and, in its environment:
//
//	SLUICE_MESSAGE_ID   the message's ID
//	SLUICE_ATTEMPT      which delivery it is, 0 if the provider does not count
//	SLUICE_QUEUE        the queue
//	SLUICE_GROUP        the group, if it has one
//	SLUICE_DEDUPE_ID    the dedupe ID, if it has one
//	SLUICE_ATTR_NAME    each attribute, in upper case, with _ for every
//	                    character but ASCII letters and digits
//	SLUICE_ATTRIBUTES   all attributes as a JSON object, if there are any
//	TRACEPARENT, TRACESTATE
//	                    W3C trace context: that of the current span, if the
//	                    otel middleware is around this handler, otherwise the
//	                    sender's
//
// An attribute whose name looks like a reserved one ("sns_topic_arn",
// "Sluice-Dead-Letter-Reason") is not passed on, to commands and to workers, so
// that a sender cannot shadow the names that the framework guarantees. Of two other
// names that become the same variable the last in byte order wins. Both are logged.
// The group, the dedupe ID, and the trace context without a current span, are the
// sender's own words.
//
// The kernel bounds a command's environment, each variable (128 KiB on Linux) and all
// of them (a quarter of the stack's limit, 2 MiB by default). Attributes that have no
// room are left out, the longest first, and that is logged; the variable
// SLUICE_LEFT_OUT then names them, with "*" for SLUICE_ATTRIBUTES. A command
// that can't be started (its file is missing, there is no memory) has not had the
// message, which is postponed; [Handler.Gate] holds back receiving meanwhile. The same
// holds if a shell or env ends with status 126 or 127 since it can't start the program, and
// nothing has read the message from standard input. Exit status 0 acks; 65 rejects,
// with the end of standard error as the reason; anything else (75 by convention)
// retries, and so does a signal.
//
// # A worker
//
// A worker reads one message a line from its standard input and answers each
// with one line on its standard output, before it gets the next: it handles one
// message at a time. Both are JSON objects:
//
//	{"id":"…","queue":"…","attempt":1,"body":"…","attributes":{"name":"value"},…}
//	{"verdict":"ack","id":"…"}
//
// The members of a message are id, queue, attempt (0 if the provider does not
// count), body, or body_base64 instead if the body is not UTF-8, and, if
// present, attributes, group, dedupe_id, enqueued_at and lease_deadline
// (RFC 3339; the deadline moves if the lease is kept), traceparent and
// tracestate. A line is as long as its message, which can be megabytes. More
// members can come to be: ignore those that you do not know.
//
// A library's output on standard output in between is logged, if it does not begin
// with "{", and an answer that names its message counts all the same: behind such a text
// on its line, or within a second after it (30 seconds for a worker's first message).
//
// The members of an answer are:
//
//	verdict   "ack", "retry", "reject" or "drop"
//	after     with "retry" only: the delay, in seconds (30, 0.5) or as in "30s",
//	          "5m"; without it the backoff middleware or the queue decides
//	error     not with "ack": the reason, for logs and the dead-letter queue
//	id        the message's ID, sent back. It can be left out; sent, it is
//	          checked, so that a worker that answers twice cannot ack a message
//	          that it has not seen. Send it.
//
// Anything else on standard output is an error of the worker: its message, if it
// has one, is retried, and the worker is replaced, since nobody knows which
// message its next line would be about. So let a library that prints print to
// standard error, which goes to the log line by line. Remember to flush.
//
// A worker that ends, by itself or by a signal, is replaced; the message that it
// had is retried, with the end of its standard error as the reason. After a
// failure the next start waits, longer each time, until a worker has answered.
// When the context of a handler ends (its time is up, its lease is lost, the
// consumer is stopped) the worker gets SIGTERM and may still answer, then
// SIGKILL, and is replaced.
//
// A worker should exit at the end of its standard input; [Pool.Close] waits a
// little for that.
//
// # Processes
//
// Each command runs in its own process group, and signals go to the group. With
// one message each, only a command that is canceled has its group killed, so
// that it may leave something behind; a worker's group ends with it. On Linux a
// command is killed with the process that started it. If there are no process
// groups (Windows) the command alone is killed, without a warning.
package exechandler
