package sqs

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/sluice-go/sluice/drivers/provision"
)

// names implements [Opener.Names].
func namesOf(u *url.URL, s *provision.Spec) (*provision.Names, error) {
	t, err := parse(u)
	if err != nil {
		return nil, err
	}
	if s == nil {
		s = &provision.Spec{DeadLetter: &provision.DeadLetter{}}
	}
	_, dead, err := wishes(t, s)
	if err != nil {
		return nil, err
	}
	account := t.account
	if parts := strings.Split(strings.TrimPrefix(t.queueURL, "https://"), "/"); account == "" && len(parts) == 3 {
		account = parts[1]
	}
	resource := func(name string) string {
		if arn.IsARN(name) {
			return name
		}
		if strings.Contains(name, "://") {
			name = lastSegment(name)
		}
		return arn.ARN{
			Partition: partition(t.region), Service: "sqs", Region: cmp.Or(t.region, "*"), AccountID: cmp.Or(account, "*"), Resource: name,
		}.String()
	}
	n := &provision.Names{System: system, Queue: resource(t.name), ByName: t.queueURL == ""}
	switch {
	case t.deadLetter != "":
		n.DeadLetter = resource(t.deadLetter)
	case dead != nil:
		n.DeadLetter = resource(dead.name)
	}
	return n, nil
}

// partition is the part of AWS that a region is in, as ARNs name it.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}
