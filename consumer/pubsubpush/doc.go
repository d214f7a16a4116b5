// Package pubsubpush serves push deliveries: it is the end of a Pub/Sub push
// subscription, or of an Eventarc trigger, on Cloud Run, Cloud Run functions or
// any other HTTPS server. The handler and its middleware are the same as under a
// consumer.
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
// and the heartbeat middleware does nothing. The service waits for the answer for
// as long as the subscription's ack deadline, at most 600 seconds, and pushes the
// message again after it; [Config.Timeout] ends the handler's context before.
// When the service gives the request up, the context ends with the cause
// [handler.ErrLeaseLost]. The attempt is known only where the subscription has a
// dead-letter policy; elsewhere it is 0.
//
// Messages of one ordering key are pushed one at a time: the next one comes when
// the one before was acknowledged, so that order is the service's affair and a key
// costs a round trip a message.
//
// Pub/Sub begins with few pushes at a time and adds more while they are
// acknowledged (its slow start), and backs off when they are not. A batch handler
// ([handler.Batch]) gathers what is pushed concurrently, so it fills its batches
// only under load and on an instance that takes many requests at once.
//
// # Limits
//
// A message has at most 10 MB, which are 13.4 MB as base64 in an envelope; a
// larger request is answered with 413. Without an envelope, names and values of
// attributes are headers: their case is lost, a header that HTTP or Google's front
// ends use is no attribute, and what does not fit into a header does not come.
//
// # Verdict mapping
//
//	ack, drop               204
//	retry                      500
//	retry with a delay         503 with Retry-After, at most 600 seconds
//	retry, the last attempt    as dead-letter, with the failure as the reason
//	postponed by a middleware  429 with Retry-After; counted as postponed
//	dead-letter                204 once the letter was published; 500 where there
//	                           is no dead-letter topic, 503 where it fails
//	panic                      500; the stack is logged
//	no valid token             401; a valid one of somebody else 403
//	keys out of reach          503
//	another subscription       403
//	unreadable                 400, too large 413, not a POST 405
//	all slots taken            429
//
// Pub/Sub takes 102, 200, 201, 202 and 204 as an acknowledgement and anything else
// as the contrary: it pushes the message again after a delay of its own, from
// 100 ms to 60 s, or by the subscription's retry policy. It does not heed
// Retry-After, so that a handler's delay is a wish here; what needs exact delays
// is better pulled. That goes for requests that cannot be read as well: they come
// again until the dead-letter policy takes them, or the retention ends. They are
// counted ([Stats]), told to observers and logged once a minute, as are rejections
// without a dead-letter topic.
//
// The last attempt is the one whose deliveryAttempt has reached the
// maxDeliveryAttempts of the dead-letter policy, as it was when
// Config.Subscription was opened. The service would forward the message after it,
// without a reason. So a dead letter without one is of a message that no handler
// failed. The service counts every push that is not acknowledged, and a push cannot
// be kept: with a dead-letter policy, a middleware that postpones
// ([handler.Postpone]) spends an attempt here.
//
// # Attribute escaping
//
// As in package pubsub, whose code reads the messages and writes the letters. A
// message that a redrive aimed at another subscription is acknowledged and
// skipped. Of CloudEvents, the attributes are those of Google's Pub/Sub binding:
// ce-id, ce-source and so on in lower case, and content-type; the body is as it
// came, an event in structured mode included. In binary mode the ID is ce-id.
//
// # Authentication
//
// The endpoint's address is public, so it is the bearer token that tells the
// service from anybody else. Its signature must be RS256 or ES256 by one of
// Google's current keys; its issuer Google; its audience and its verified e-mail
// those of the configuration; its times sound within [Config.ClockSkew]. Keys are
// kept for as long as their server allows, asked for at most once in
// [Config.KeysInterval] when a token names an unknown one, and go on serving for
// up to a day while the server cannot be reached.
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
// Listen on PORT. Let the service's concurrency be that of [Config.Concurrency],
// its request timeout not below [Config.Timeout], and its CPU allocated during
// requests only, if you like: nothing runs between them but a batch that gathers,
// and that belongs to a request. An instance is started by the push that finds
// none, which takes its ack deadline meanwhile: min-instances=1 spares that. On
// SIGTERM call the server's Shutdown within ten seconds. A function
// (functions-framework-go) is an http.HandlerFunc: endpoint.ServeHTTP.
//
// A service that requires authentication lets nobody in but accounts that have
// roles/run.invoker, which its front end tells by the same token. Let it, and
// verify the token here as well: another account that may invoke the service is
// then still none that may push. Pub/Sub sends the token as Authorization, which
// the front end passes on as it is; by Google's documentation it is in
// X-Serverless-Authorization, and in tokens that people make by gcloud, that it
// writes SIGNATURE_REMOVED_BY_GOOGLE in place of the signature. Such a token is
// refused, and the log says so. Where pushes come like that, the front end's word
// is all there is: set [Config.Insecure] there, with authentication required, and
// give the pushing account alone the role.
//
// # Testing
//
// The tests push by internal/test/pushtest what they pull from Google's in-process
// fake, with tokens of an issuer on the loopback interface.
package pubsubpush
