package sqs

import (
	"regexp"
	"strings"
)

// hosts are the forms of SQS's hosts. The first group of each matches the region.
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
	// The legacy hosts, which are still in the URLs of old accounts' queues.
	regexp.MustCompile(`^([a-z0-9-]+)\.queue\.amazonaws\.com(?:\.cn)?$`),
}

const (
	// legacyHost is the only host without a region.
	legacyHost   = "queue.amazonaws.com"
	legacyRegion = "us-east-1"
)

// plainHost matches the default endpoint that the SDK uses for a region.
var plainHost = regexp.MustCompile(`^sqs\.[a-z0-9-]+\.(?:amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$`)

// awsSuffix matches the suffix of AWS's hosts.
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

// fips reports whether the endpoint is one of AWS's FIPS endpoints.
func fips(endpoint string) bool {
	return strings.HasPrefix(endpoint, "https://sqs-fips.") || strings.Contains(endpoint, ".sqs-fips.")
}
