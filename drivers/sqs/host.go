package sqs

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// hosts are the forms of SQS's hosts. The first group of each is the region.
//
// The DNS suffixes are those of the SDK's partitions: aws, aws-us-gov, aws-cn,
// aws-eusc and the isolated ones, each with its dual-stack form.
var hosts = []*regexp.Regexp{
	// sqs.REGION.SUFFIX, also with FIPS, and a VPC's interface endpoint.
	regexp.MustCompile(`^(?:vpce-[a-z0-9-]+\.)?sqs(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?(?:` + strings.Join([]string{
		`amazonaws\.com`, `amazonaws\.com\.cn`, `amazonaws\.eu`,
		`c2s\.ic\.gov`, `sc2s\.sgov\.gov`, `cloud\.adc-e\.uk`, `csp\.hci\.ic\.gov`,
		`api\.aws`, `api\.amazonwebservices\.com\.cn`, `api\.amazonwebservices\.eu`,
		`api\.aws\.ic\.gov`, `api\.aws\.scloud`, `api\.cloud-aws\.adc-e\.uk`, `api\.aws\.hci\.ic\.gov`,
	}, "|") + `)$`),
	// The legacy hosts, which queues of old accounts still have in their URLs.
	regexp.MustCompile(`^([a-z0-9-]+)\.queue\.amazonaws\.com(?:\.cn)?$`),
}

const (
	// legacyHost is the one host that names no region.
	legacyHost   = "queue.amazonaws.com"
	legacyRegion = "us-east-1"
)

// plainHost is the host that the SDK asks by itself for the region of a host.
var plainHost = regexp.MustCompile(`^sqs\.[a-z0-9-]+\.(?:amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$`)

// awsSuffix is the end of any host of AWS.
var awsSuffix = regexp.MustCompile(`(?:^|\.)(?:amazonaws\.(?:com|com\.cn|eu)|api\.aws)$`)

// hostRegion returns the region of one of SQS's hosts.
func hostRegion(host string) (region string, ok bool) {
	if host == legacyHost {
		return legacyRegion, true
	}
	for _, form := range hosts {
		if found := form.FindStringSubmatch(host); found != nil {
			return found[1], true
		}
	}
	return "", false
}

// locate reads the host of a full URL. Requests go to the host that the URL
// names, and are signed for its region: a FIPS or VPC endpoint that was asked
// for must not be replaced by the public one.
func (t *target) locate(u *url.URL) error {
	host := strings.ToLower(u.Hostname())
	if bare := strings.TrimSuffix(host, "."); bare != host {
		if _, ok := hostRegion(bare); ok { // a name that ends with the root's dot is the same host
			c := *u
			c.Host, host = strings.Replace(u.Host, u.Hostname(), bare, 1), bare
			u = &c
		}
	}
	scheme := "https"
	if localHost(host) {
		scheme = "http"
	}
	t.queueURL = scheme + "://" + u.Host + u.EscapedPath()
	region, ok := hostRegion(host)
	switch {
	case ok:
	case awsSuffix.MatchString(host):
		return fmt.Errorf("the host %s is not one of SQS's: they are sqs.REGION.amazonaws.com and its FIPS, dual-stack and VPC forms", host)
	case scheme == "https" && t.endpoint == "" && !strings.Contains(host, ".") && net.ParseIP(host) == nil:
		// A container's name: whether it speaks TLS can only be guessed.
		return fmt.Errorf("the host %s is not one of AWS's: say how it is reached, as in %s:///%s?endpoint=http://%s", host, Scheme, t.name, u.Host)
	default:
		t.hostEndpoint = scheme + "://" + u.Host
		return nil
	}
	if t.region != "" && t.region != region {
		return fmt.Errorf("the host is in the region %s, and the parameter says %s", region, t.region)
	}
	t.region = region
	if !plainHost.MatchString(host) || u.Port() != "" {
		t.hostEndpoint = scheme + "://" + u.Host
	}
	return nil
}

// fips reports whether the endpoint is one of AWS's FIPS endpoints.
func fips(endpoint string) bool {
	return strings.HasPrefix(endpoint, "https://sqs-fips.") || strings.Contains(endpoint, ".sqs-fips.")
}

// Suggest returns the queue URL to write in place of what people paste: the
// HTTPS URL of a queue, its ARN, the address of a local server. It is empty if s
// is none of these.
func (*Opener) Suggest(s string) string {
	if a, err := arn.Parse(s); err == nil {
		if a.Service != "sqs" || a.Resource == "" {
			return ""
		}
		return fmt.Sprintf("%s:///%s/%s?region=%s", Scheme, a.AccountID, a.Resource, a.Region)
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	if _, ok := hostRegion(strings.TrimSuffix(host, ".")); ok {
		return Scheme + "://" + strings.TrimSuffix(u.Host, ".") + path
	}
	// LocalStack's path form: http://HOST:PORT/queue/REGION/ACCOUNT/NAME.
	if p := strings.Split(path, "/"); len(p) == 5 && p[1] == "queue" && p[2] != "" && p[4] != "" {
		return fmt.Sprintf("%s:///%s?region=%s&endpoint=%s://%s", Scheme, p[4], p[2], u.Scheme, u.Host)
	}
	name := path[strings.LastIndex(path, "/")+1:]
	// A local server's queue URL is http://HOST:PORT/ACCOUNT/NAME.
	if strings.Count(path, "/") != 2 || name == "" {
		return ""
	}
	return fmt.Sprintf("%s:///%s?region=us-east-1&endpoint=%s://%s", Scheme, name, u.Scheme, u.Host)
}
