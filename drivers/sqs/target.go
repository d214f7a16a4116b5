package sqs

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-go/sluice/drivers"
)

// parameters returns the names of the parameters that a queue's URL may have.
func parameters() []string {
	return []string{"region", "profile", "endpoint", "visibility_timeout", "dead_letter"}
}

// A target is a parsed queue URL.
type target struct {
	name    string
	account string // of a short URL; empty means the caller's own
	// queueURL is empty if the queue must be found by its name.
	queueURL string
	// hostEndpoint is the endpoint of a full URL's host. It is empty for the
	// SDK's default endpoint of the region.
	hostEndpoint string

	region, profile, endpoint string
	visibility                time.Duration
	deadLetter                string

	log     *slog.Logger // for the SDK's client; nil discards
	patient bool         // the SDK's client repeats throttled requests for longer
}

func parse(u *url.URL) (*target, error) {
	t, err := parseURL(u)
	if err == nil {
		return t, nil
	}
	if drivers.CodeOf(err) != drivers.Unclassified {
		return nil, err
	}
	return nil, &drivers.Error{Code: drivers.Invalid, Op: "open", Queue: lastSegment(u.Path), Err: err,
		Remedy: "as in awssqs:///orders?region=us-east-1 or awssqs://sqs.us-east-1.amazonaws.com/123456789012/orders"}
}

func parseURL(u *url.URL) (*target, error) {
	if err := drivers.CheckParams(u, parameters()...); err != nil {
		return nil, err
	}
	if u.Opaque != "" || u.Fragment != "" || u.RawFragment != "" {
		return nil, errors.New("malformed queue URL")
	}
	if u.User != nil {
		return nil, errors.New("a queue URL has no user and password: credentials come from the AWS SDK's default chain")
	}
	q := u.Query()
	t := &target{region: q.Get("region"), profile: q.Get("profile"), endpoint: q.Get("endpoint"), deadLetter: q.Get("dead_letter")}
	if err := t.place(u); err != nil {
		return nil, err
	}
	if s := q.Get("visibility_timeout"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 || d > maxLease || d%time.Second != 0 {
			return nil, fmt.Errorf("visibility_timeout=%s: it must be whole seconds up to 12h, such as 90s", s)
		}
		t.visibility = d
	}
	if t.endpoint != "" {
		e, err := url.Parse(t.endpoint)
		if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" {
			return nil, fmt.Errorf("endpoint=%s: it must be a URL, such as http://127.0.0.1:4566", t.endpoint)
		}
	}
	return t, nil
}

// place reads host and path.
func (t *target) place(u *url.URL) error {
	segments := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	t.name = segments[len(segments)-1]
	if t.name == "" {
		if u.Host != "" && len(segments) == 1 {
			return fmt.Errorf("the queue URL names no queue, only the host %q: a queue of that name is %s:///%s", u.Host, scheme, u.Host)
		}
		return errors.New("the queue URL names no queue")
	}
	if u.Host == "" {
		if len(segments) > 2 || len(segments) == 2 && segments[0] == "" {
			return errors.New("a queue URL without a host has a queue name, or an account number and a name")
		}
		if len(segments) == 2 {
			t.account = segments[0]
		}
		return nil
	}
	return t.locate(u)
}

// locate reads the host of a full URL. Requests go to this host and are signed for
// its region: a FIPS or VPC endpoint must not be replaced by the public one.
func (t *target) locate(u *url.URL) error {
	host := strings.ToLower(u.Hostname())
	if bare := strings.TrimSuffix(host, "."); bare != host {
		if _, ok := hostRegion(bare); ok { // with or without the root's dot it is the same host
			c := *u
			c.Host, host = strings.Replace(u.Host, u.Hostname(), bare, 1), bare
			u = &c
		}
	}
	protocol := "https"
	if localHost(host) {
		protocol = "http"
	}
	t.queueURL = protocol + "://" + u.Host + u.EscapedPath()
	region, ok := hostRegion(host)
	switch {
	case ok:
	case awsSuffix.MatchString(host):
		return fmt.Errorf("the host %s is not a host of SQS: those are sqs.REGION.amazonaws.com and its FIPS, dual-stack and VPC forms", host)
	case protocol == "https" && t.endpoint == "" && !strings.Contains(host, ".") && net.ParseIP(host) == nil:
		// A container's name: it may use TLS or not.
		return fmt.Errorf("the host %s is not a host of AWS: add its endpoint, as in %s:///%s?endpoint=http://%s", host, scheme, t.name, u.Host)
	default:
		t.hostEndpoint = protocol + "://" + u.Host
		return nil
	}
	if t.region != "" && t.region != region {
		return fmt.Errorf("the host is in the region %s, but the parameter region is %s", region, t.region)
	}
	t.region = region
	if !plainHost.MatchString(host) || u.Port() != "" {
		t.hostEndpoint = protocol + "://" + u.Host
	}
	return nil
}
