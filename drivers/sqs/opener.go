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
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs/internal/direct"
)

// scheme is the scheme of the URLs that an [Opener] opens.
const scheme = "awssqs"

// An Opener opens SQS queues by URL; see the package comment. Each source and
// sink has its own connections. The zero Opener is ready to use. Its methods may be
// called concurrently.
type Opener struct {
	// AWS is the configuration of the AWS SDK. Nil means the configuration of the
	// environment and the shared files, loaded for each queue. Parameters of the
	// URL override it.
	AWS *aws.Config
}

var (
	_ drivers.Opener     = (*Opener)(nil)
	_ provision.Planner  = (*Opener)(nil)
	_ provision.Examiner = (*Opener)(nil)
	_ provision.Namer    = (*Opener)(nil)
)

// Schemes returns "awssqs".
func (*Opener) Schemes() []string { return []string{scheme} }

// OpenSource opens the queue that u names for receiving. It makes up to four
// requests: for credentials, for the queue's URL, and for the attributes of the
// queue and its dead-letter queue. It fails immediately if the queue does not exist
// or access is denied.
func (o *Opener) OpenSource(ctx context.Context, u *url.URL, opts *drivers.Options) (drivers.Source, error) {
	t, err := parse(u)
	if err != nil {
		return nil, err
	}
	c := &Config{VisibilityTimeout: t.visibility, DeadLetter: t.deadLetter}
	if opts != nil {
		t.log, c.Logger = opts.Logger, opts.Logger
		if t.deadLetter != "" && opts.DeadLetter != "" && t.deadLetter != opts.DeadLetter {
			return nil, (&queue{name: t.name}).invalid("open", fmt.Errorf("the URL names the dead-letter queue %q and the configuration %q", t.deadLetter, opts.DeadLetter),
				"name one of them")
		}
		if opts.DeadLetter != "" {
			c.DeadLetter = opts.DeadLetter
		}
	}
	client, queueURL, release, err := o.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	s, err := NewSource(ctx, direct.New(client), queueURL, c)
	if err != nil {
		release()
		return nil, err
	}
	s.release = release
	s.inspector.ages = newAges(o, t)
	return s, nil
}

// OpenSink opens the queue that u names for sending. Parameters for receiving are
// accepted and have no effect, so that one URL serves both.
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
	s, err := NewSink(ctx, direct.New(client), queueURL)
	if err != nil {
		release()
		return nil, err
	}
	s.release = release
	return s, nil
}

// Plan reads the queue and its dead-letter queue and returns the steps that make
// them what s asks for, the dead-letter queue first. See [provision.Planner].
func (o *Opener) Plan(ctx context.Context, u *url.URL, s *provision.Spec) (*provision.Plan, error) {
	return planFor(ctx, o, u, s)
}

// Examine reads the facts about the queue and its dead-letter queue. See
// [provision.Examiner].
func (o *Opener) Examine(ctx context.Context, u *url.URL) (*provision.State, error) {
	return examine(ctx, o, u)
}

// Names names the queue and its dead-letter queue. See [provision.Namer].
func (*Opener) Names(u *url.URL, s *provision.Spec) (*provision.Names, error) { return namesOf(u, s) }

// Suggest returns the queue URL for a string that people paste in its place: the
// HTTPS URL of a queue, its ARN, the address of a local server. It returns "" for
// any other s.
func (*Opener) Suggest(s string) string {
	if a, err := arn.Parse(s); err == nil {
		if a.Service != "sqs" || a.Resource == "" {
			return ""
		}
		return fmt.Sprintf("%s:///%s/%s?region=%s", scheme, a.AccountID, a.Resource, a.Region)
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	if _, ok := hostRegion(strings.TrimSuffix(host, ".")); ok {
		return scheme + "://" + strings.TrimSuffix(u.Host, ".") + path
	}
	// LocalStack's path form: http://HOST:PORT/queue/REGION/ACCOUNT/NAME.
	if p := strings.Split(path, "/"); len(p) == 5 && p[1] == "queue" && p[2] != "" && p[4] != "" {
		return fmt.Sprintf("%s:///%s?region=%s&endpoint=%s://%s", scheme, p[4], p[2], u.Scheme, u.Host)
	}
	name := path[strings.LastIndex(path, "/")+1:]
	// A local server's queue URL is http://HOST:PORT/ACCOUNT/NAME.
	if strings.Count(path, "/") != 2 || name == "" {
		return ""
	}
	return fmt.Sprintf("%s:///%s?region=us-east-1&endpoint=%s://%s", scheme, name, u.Scheme, u.Host)
}

// connect makes a client, and finds the queue's URL if only its name is given.
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

// client makes a client for the target. A missing region or missing credentials are
// reported here rather than at the first request.
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
	client := awssqs.NewFromConfig(signing(cfg), func(so *awssqs.Options) {
		switch {
		case t.endpoint != "":
			so.BaseEndpoint = &t.endpoint
		case so.BaseEndpoint == nil && t.hostEndpoint != "":
			so.BaseEndpoint = &t.hostEndpoint
			if fips(t.hostEndpoint) {
				// The SDK refuses this setting together with an endpoint, even
				// with a FIPS endpoint.
				so.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateUnset
			}
			so.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateUnset
		}
		release = tune(so, t.log)
		if t.patient {
			so.Retryer = newPatient()
		}
	})
	if err := credentials(ctx, client); err != nil {
		release()
		way := "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a role"
		if local(client.Options().BaseEndpoint) {
			way = "a local endpoint accepts any credentials, but requires some: export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test"
		}
		return refuse(drivers.Denied, err, way)
	}
	return client, release, nil
}

// load returns the SDK's configuration.
func (o *Opener) load(ctx context.Context, t *target) (aws.Config, error) {
	if o.AWS != nil {
		if t.profile != "" {
			return aws.Config{}, errors.New("the parameter profile has no effect: the program supplies the AWS configuration")
		}
		return o.AWS.Copy(), nil
	}
	// Clients of what the SDK asks for credentials have this logger.
	opts := []func(*config.LoadOptions) error{config.WithLogger(sdkLog(t.log))}
	if t.profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(t.profile))
	}
	return config.LoadDefaultConfig(ctx, opts...)
}

// credentials returns an error if the client has no credentials.
func credentials(ctx context.Context, client *awssqs.Client) error {
	o := client.Options()
	if o.Credentials == nil {
		return errors.New("no AWS credentials are configured")
	}
	patience := answerTime
	if local(o.BaseEndpoint) {
		// On a machine outside AWS, the search ends with requests to an address
		// that does not answer.
		patience = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := o.Credentials.Retrieve(ctx); err != nil {
		return fmt.Errorf("no AWS credentials: %w", err)
	}
	return nil
}

// local reports whether the endpoint is on this machine.
func local(endpoint *string) bool {
	u, err := url.Parse(deref(endpoint))
	return err == nil && localHost(u.Hostname())
}

func localHost(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".localhost.localstack.cloud") ||
		net.ParseIP(host).IsLoopback()
}
