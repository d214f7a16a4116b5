// Package httphandler is a handler that POSTs each message to an HTTP endpoint,
// so that a handler can be written in any language and run anywhere. The command
// "sluice run --http" is made of it.
//
//	h, err := httphandler.New("http://127.0.0.1:8080/orders", nil)
//	c, err := consumer.New(source, h, nil)
//
// # The request
//
// The body is the message's. The headers Sluice-Message-Id, Sluice-Attempt (0 if
// the provider does not count), Sluice-Queue, Sluice-Group and Sluice-Dedupe-Id
// describe it; those that are empty are left out. Each attribute is sent as
// Sluice-Attr-NAME, with hyphens for all characters except ASCII letters and
// digits. In values, "%" and characters that a header cannot carry are sent as
// %XX. The attribute Content-Type is also the request's own, unless
// [Config.Header] has one; without either that is application/octet-stream.
//
// An attribute whose name looks like a reserved one ("sns_topic_arn",
// "Sluice-Dead-Letter-Reason") is not passed on, so that a sender cannot shadow
// the names that the framework guarantees. Of two other names that become the same
// header the last in byte order wins. Both are logged. Sluice-Dedupe-Id,
// Sluice-Group, and the trace context without a current span, are the sender's own
// words.
//
// Servers bound the headers of a request, many of them to 8 or 16 KiB. An endpoint that
// answers 400, 413 or 431 to a request whose attributes have more than 4 KiB of headers
// gets it once more, with the shortest attributes up to that size; the header
// Sluice-Left-Out then names the others. That is logged.
//
// The headers traceparent and tracestate are those of the current span, if
// the otel middleware is around this handler, so that the endpoint's spans hang
// below the handling of the message. Otherwise they are the message's own
// attributes, unchanged.
//
// With [Config].Signer the request is signed by Standard Webhooks, see package
// handler/webhook: then the endpoint can verify that a request is genuine. The
// signature covers the ID, the time and the body, not the headers named above.
//
// # Verdicts
//
//	2xx                        ack
//	408, 409, 425, 429, 5xx    retry, after Retry-After if the answer has it; 0, or
//	                           a date that has passed, is a second
//	any other 4xx              reject, with the answer's beginning as the reason
//	1xx (101), 3xx, others     retry: redirects are not followed, since a
//	                           redirected POST would often become a GET
//	no connection              postponed: no attempt is spent
//	no answer                  retry
//
// While no connection can be made, messages wait and [Handler.Gate] holds back
// receiving; one message tries after each pause, of up to 30 seconds. A request
// whose kept connection turns out to be closed is repeated once, over another.
//
// An answer's status decides, even if its body then breaks off. Whether an
// endpoint that gave no answer did its work is unknown, so it gets the message
// again: it must recognise duplicates, best by webhook-id or Sluice-Message-Id.
package httphandler
