package sqs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice/drivers"
)

// Scheme is the scheme of the URLs that an [Opener] opens.
const Scheme = "awssqs"

// An Opener opens SQS queues by URL; see the package comment. Each source and
// sink has connections of its own. The zero Opener is ready to use.
type Opener struct {
	// AWS is the configuration of the AWS SDK. Nil means what the environment
	// and the shared configuration files say, loaded anew for each queue.
	// The URL's parameters come before it.
	AWS *aws.Config
}

var _ drivers.Opener = (*Opener)(nil)

// Schemes returns [Scheme].
func (*Opener) Schemes() []string { return []string{Scheme} }

// OpenSource opens the queue that u names for receiving. It makes up to four
// requests: for credentials, for the queue's URL, and for the attributes of the
// queue and its dead-letter queue. It fails at once where there is no such queue
// or no permission.
func (o *Opener) OpenSource(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Source, error) {
	t, err := parse(u)
	if err != nil {
		return nil, err
	}
	c := &Config{VisibilityTimeout: t.visibility, DeadLetter: t.deadLetter}
	if opts != nil {
		t.log, c.Logger = opts.Logger, opts.Logger
		if opts.DeadLetter != "" {
			c.DeadLetter = opts.DeadLetter
		}
	}
	client, queueURL, release, err := o.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	s, err := NewSource(ctx, client, queueURL, c)
	if err != nil {
		release()
		return nil, err
	}
	s.release = release
	return s, nil
}

// OpenSink opens the queue that u names for sending. The parameters that are for
// receiving are read and have no effect, so that one URL serves both.
func (o *Opener) OpenSink(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Sink, error) {
	t, err := parse(u)
	if err != nil {
		return nil, err
	}
	if opts != nil {
		t.log = opts.Logger
	}
	client, queueURL, release, err := o.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	s, err := NewSink(ctx, client, queueURL)
	if err != nil {
		release()
		return nil, err
	}
	s.release = release
	return s, nil
}

// connect makes a client, and finds the queue's URL where only its name is
// given.
func (o *Opener) connect(ctx context.Context, t *target) (client *awssqs.Client, queueURL string, release func(), err error) {
	client, release, err = o.client(ctx, t)
	if err != nil {
		return nil, "", nil, err
	}
	if t.queueURL != "" {
		return client, t.queueURL, release, nil
	}
	in := &awssqs.GetQueueUrlInput{QueueName: &t.name}
	if t.account != "" {
		in.QueueOwnerAWSAccountId = &t.account
	}
	rctx, cancel := within(ctx, answerTime)
	defer cancel()
	out, err := client.GetQueueUrl(rctx, in)
	if err != nil {
		release()
		return nil, "", nil, (&queue{name: t.name}).fail(ctx, "open", err)
	}
	return client, deref(out.QueueUrl), release, nil
}

// client makes a client for the target. What is missing for that is found here,
// and named, rather than at the first request.
func (o *Opener) client(ctx context.Context, t *target) (*awssqs.Client, func(), error) {
	refuse := func(code drivers.Code, err error, way string) (*awssqs.Client, func(), error) {
		return nil, nil, drivers.Wrap(ctx, code, t.name, "open", err, way)
	}
	cfg, err := o.load(ctx, t)
	if err != nil {
		return refuse(drivers.Invalid, err, "")
	}
	if t.region != "" {
		cfg.Region = t.region
	}
	if cfg.Region == "" {
		return refuse(drivers.Invalid, errors.New("no AWS region"), "add region=… to the queue's URL, or set AWS_REGION")
	}
	var release func()
	client := awssqs.NewFromConfig(cfg, func(so *awssqs.Options) {
		switch {
		case t.endpoint != "":
			so.BaseEndpoint = &t.endpoint
		case so.BaseEndpoint == nil && t.hostEndpoint != "":
			so.BaseEndpoint = &t.hostEndpoint
			if fips(t.hostEndpoint) {
				// The SDK refuses the setting beside an endpoint, though this one
				// fulfils it.
				so.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateUnset
			}
			so.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateUnset
		}
		release = tune(so, t.log)
	})
	if err := credentials(ctx, client); err != nil {
		release()
		way := "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where there is a role"
		if local(client.Options().BaseEndpoint) {
			way = "a local endpoint takes any credentials, but there have to be some: export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test"
		}
		return refuse(drivers.Denied, err, way)
	}
	return client, release, nil
}

func (o *Opener) load(ctx context.Context, t *target) (aws.Config, error) {
	if o.AWS != nil {
		if t.profile != "" {
			return aws.Config{}, errors.New("the parameter profile is of no use: the program gives the AWS configuration itself")
		}
		return o.AWS.Copy(), nil
	}
	var opts []func(*config.LoadOptions) error
	if t.profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(t.profile))
	}
	return config.LoadDefaultConfig(ctx, opts...)
}

// credentials returns why there are none.
func credentials(ctx context.Context, client *awssqs.Client) error {
	o := client.Options()
	if o.Credentials == nil {
		return errors.New("no AWS credentials are configured")
	}
	patience := answerTime
	if local(o.BaseEndpoint) {
		// On a machine that is no instance of AWS's, the search ends with
		// requests to an address that does not answer.
		patience = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := o.Credentials.Retrieve(ctx); err != nil {
		return fmt.Errorf("no AWS credentials: %w", err)
	}
	return nil
}

// local is true for an endpoint on this machine.
func local(endpoint *string) bool {
	u, err := url.Parse(deref(endpoint))
	return err == nil && localHost(u.Hostname())
}

func localHost(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".localhost.localstack.cloud") ||
		net.ParseIP(host).IsLoopback()
}
