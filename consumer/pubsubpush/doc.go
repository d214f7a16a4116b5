// Package pubsubpush runs a handler on the deliveries of a Pub/Sub push subscription or
// an Eventarc trigger, on Cloud Run, Cloud Run functions or any other HTTPS server. The
// handler and its middleware are the same as under a consumer.
//
//	endpoint, err := pubsubpush.New(h, &pubsubpush.Config{
//		Subscription: subscription, // by (*pubsub.Opener).OpenPush
//		Audiences:    []string{"https://orders.example.com/push"},
//		Emails:       []string{"pusher@my-project.iam.gserviceaccount.com"},
//	})
//	mux.Handle("/push", endpoint)
//
// # Delivery
//
// At least once. A message has no lease: extending returns [handler.ErrNoLease],
// and the heartbeat middleware does nothing. The service waits for the answer until
// the subscription's ack deadline, at most 600 seconds, and then pushes the message
// again; [Config.Timeout] ends the handler's context before that. If the service
// abandons the request, the context ends with the cause [handler.ErrLeaseLost]. The
// attempt is known only if the subscription has a dead-letter policy and its pushes
// have an envelope, which holds it; otherwise it is 0.
//
// Messages of one ordering key are pushed one at a time: the service pushes the next
// one after the acknowledgement of the one before, so each message of a key costs a
// round trip.
//
// Pub/Sub begins with few pushes at a time and adds more while they are
// acknowledged (its slow start), and backs off when they are not. A batch handler
// ([handler.Batch]) collects messages that are pushed concurrently, so its
// batches fill only under load and on an instance that serves many requests
// concurrently.
//
// # Limits
//
// A message has at most 10 MB, or 13.4 MB as base64 in an envelope. The response
// to a larger request is 413. Without an envelope, names and values of attributes
// are headers: their case is lost, a header that HTTP or Google's front ends use
// is not an attribute, and values that do not fit into a header are lost.
//
// # Verdict mapping
//
//	ack, drop               204
//	retry                      500
//	retry with a delay         503 with Retry-After, at most 600 seconds
//	retry, the last attempt    as dead-letter, with the failure as the reason
//	postponed by a middleware  429 with Retry-After; counted as postponed
//	dead-letter                204 once the letter is published; 500 without a
//	                           dead-letter topic, 503 if publishing fails
//	panic                      500; the stack is logged
//	no valid token             401; a valid one of another account 403
//	keys out of reach          503
//	another subscription       403
//	unreadable                 400, too large 413, not a POST 405
//	all slots taken            429
//
// Pub/Sub takes 102, 200, 201, 202 and 204 as an acknowledgement. After any other
// status it pushes the message again, after 100 ms to 60 s or by the subscription's
// retry policy. It ignores Retry-After, so a handler's delay is only a wish: pull
// messages that need exact delays. A request that can't be parsed is pushed again too,
// until the dead-letter policy takes it or its retention ends. Such requests are
// counted ([Stats]), reported to observers and logged once a minute, as are rejections
// without a dead-letter topic.
//
// The last attempt is the one whose deliveryAttempt has reached the maxDeliveryAttempts
// of the dead-letter policy, as it was when Config.Subscription was opened. After it
// the service would forward the message without a reason. A dead letter without a
// reason is therefore one that no handler failed. The service counts every push that is
// not acknowledged, and a push cannot be held, so with a dead-letter policy a
// postponement ([handler.Postpone]) spends an attempt.
//
// # Attribute escaping
//
// As in package pubsub, whose code decodes the messages and encodes the letters. A
// message that a redrive aimed at another subscription is acknowledged and skipped.
// The attributes of CloudEvents are those of Google's Pub/Sub binding: ce-id,
// ce-source and so on in lower case, and content-type. The body is unchanged,
// including an event in structured mode. In binary mode the ID is ce-id.
//
// # Authentication
//
// The endpoint's address is public: only the bearer token distinguishes the service
// from other clients. Its signature must be RS256 or ES256 by one of Google's current
// keys, its issuer Google, its audience and verified e-mail those of the
// configuration, and its times valid within [Config.ClockSkew]. Keys are cached for as
// long as their server allows, requested at most once in [Config.KeysInterval] if a
// token names an unknown key, and used for up to a day while the server is
// unreachable.
//
// # Permissions
//
// The service agent of Pub/Sub (service-NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com)
// needs roles/iam.serviceAccountTokenCreator on the pushing account, which needs
// roles/run.invoker on a Cloud Run service that requires authentication. The
// endpoint itself needs roles/pubsub.viewer on the subscription, to open it, and
// roles/pubsub.publisher on the dead-letter topic.
//
// # Cloud Run and Cloud Run functions
//
// Listen on PORT. Set the service's concurrency to [Config.Concurrency] and its request
// timeout to at least [Config.Timeout]. Its CPU may be allocated during requests only:
// nothing runs between them. A push that finds no instance starts one, while its ack
// deadline runs: min-instances=1 avoids that. On SIGTERM call the server's Shutdown
// within ten seconds. A function (functions-framework-go) is an http.HandlerFunc:
// endpoint.ServeHTTP.
//
// The front end of a service that requires authentication admits only accounts with
// roles/run.invoker, by the same token. Require it, and verify the token here too, so
// that another account that may invoke the service cannot push. Pub/Sub sends the
// token as Authorization, which the front end passes on unchanged. By Google's
// documentation the front end replaces the signature of a token by
// SIGNATURE_REMOVED_BY_GOOGLE if it is in X-Serverless-Authorization or was made with
// gcloud. Such a token is refused, which is logged. In that case only the front end
// can verify pushes: set [Config.Insecure], require authentication, and grant the
// role only to the pushing account.
//
// # Testing
//
// The tests pull messages from Google's in-process fake and push them with
// internal/test/pushtest, with tokens of an issuer on the loopback interface.
package pubsubpush
