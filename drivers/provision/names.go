package provision

import "net/url"

// A Namer names the resources of a queue without asking the provider. It is an optional
// interface of an opener.
type Namer interface {
	// Names returns the resources of the queue that u names and that s describes. A nil
	// s is that of a queue with a dead-letter queue of the default name. It does no IO.
	Names(u *url.URL, s *Spec) (*Names, error)
}

// Names are the resources of a queue, as access policies name them: SQS: ARNs, with * for
// an account or a region that the URL does not have; Pub/Sub: projects/P/topics/T and
// projects/P/subscriptions/S. A resource that the queue does not have is empty.
type Names struct {
	// System is the provider, as in drivers.Capabilities.
	System string
	// Queue is what is received from. Pub/Sub: the subscription.
	Queue string
	// Topic is what is sent to. SQS: empty, as it is the queue.
	Topic string
	// DeadLetter is the dead-letter queue. Pub/Sub: the subscription of the dead letters.
	DeadLetter string
	// DeadLetterTopic is the dead-letter topic. SQS: empty.
	DeadLetterTopic string
	// Project is Pub/Sub's project, as projects/P. SQS: empty.
	Project string
	// ByName reports whether the queue's URL has to be looked up. Pub/Sub: false.
	ByName bool
}
