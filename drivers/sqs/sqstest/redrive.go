package sqstest

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// A redrivePolicy is a parsed RedrivePolicy.
type redrivePolicy struct {
	target      string // the dead-letter queue's ARN
	maxReceives int
}

const maxReceiveCountLimit = 1000

// parseRedrive reads a RedrivePolicy. maxReceiveCount may be a number or a
// string of one: both are common.
func parseRedrive(document string) (redrivePolicy, *apiError) {
	refuse := func(reason string) (redrivePolicy, *apiError) {
		return redrivePolicy{}, invalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: %s.", document, reason)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(document), &members) != nil || members == nil {
		return refuse("Redrive policy is not a valid JSON map")
	}
	var p redrivePolicy
	for name, raw := range members {
		switch name {
		case "deadLetterTargetArn":
			if json.Unmarshal(raw, &p.target) != nil || p.target != "" && !isARN(p.target) {
				return refuse("Invalid value for deadLetterTargetArn")
			}
		case "maxReceiveCount":
			text := strings.Trim(string(raw), `"`)
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > maxReceiveCountLimit {
				return refuse("Invalid value for maxReceiveCount: " + text + ", valid values are from 1 to 1000 both inclusive")
			}
			p.maxReceives = n
		default:
			return refuse("Only following attributes are supported: [deadLetterTargetArn, maxReceiveCount]")
		}
	}
	if p.target == "" {
		return refuse("Redrive policy does not contain mandatory attribute: deadLetterTargetArn")
	}
	if p.maxReceives == 0 {
		return refuse("Redrive policy does not contain mandatory attribute: maxReceiveCount")
	}
	return p, nil
}

// The permissions of a RedriveAllowPolicy.
const (
	allowAll     = "allowAll"
	denyAll      = "denyAll"
	allowByQueue = "byQueue"
)

// An allowPolicy is a parsed RedriveAllowPolicy: which queues may name the
// queue as their dead-letter queue.
type allowPolicy struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns"`
}

func parseAllow(document string) (allowPolicy, *apiError) {
	refuse := func(reason string) (allowPolicy, *apiError) {
		return allowPolicy{}, invalidParameter("Value %s for parameter RedriveAllowPolicy is invalid. Reason: %s.", document, reason)
	}
	var p allowPolicy
	d := json.NewDecoder(strings.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return refuse("Redrive allow policy is not a valid JSON map")
		}
		return refuse("Only following attributes are supported: [redrivePermission, sourceQueueArns]")
	}
	switch p.Permission {
	case allowAll, denyAll:
		if len(p.Sources) > 0 {
			return refuse("sourceQueueArns can only be given when redrivePermission is byQueue")
		}
	case allowByQueue:
		if len(p.Sources) == 0 || len(p.Sources) > 10 {
			return refuse("redrivePermission byQueue takes 1 to 10 sourceQueueArns")
		}
	default:
		return refuse("redrivePermission must be one of allowAll, denyAll, byQueue")
	}
	return p, nil
}

func (p allowPolicy) allows(sourceArn string) bool {
	switch p.Permission {
	case denyAll:
		return false
	case allowByQueue:
		return slices.Contains(p.Sources, sourceArn)
	}
	return true
}
