package sqstest

import (
	"encoding/json"
	"strconv"
	"strings"
)

// The names of queue attributes that this package acts on.
const (
	attrAll               = "All"
	attrArn               = "QueueArn"
	attrCreated           = "CreatedTimestamp"
	attrModified          = "LastModifiedTimestamp"
	attrVisible           = "ApproximateNumberOfMessages"
	attrInFlight          = "ApproximateNumberOfMessagesNotVisible"
	attrDelayed           = "ApproximateNumberOfMessagesDelayed"
	attrDelay             = "DelaySeconds"
	attrMaxSize           = "MaximumMessageSize"
	attrRetention         = "MessageRetentionPeriod"
	attrWait              = "ReceiveMessageWaitTimeSeconds"
	attrVisibility        = "VisibilityTimeout"
	attrPolicy            = "Policy"
	attrRedrive           = "RedrivePolicy"
	attrRedriveAllow      = "RedriveAllowPolicy"
	attrKmsKey            = "KmsMasterKeyId"
	attrKmsReuse          = "KmsDataKeyReusePeriodSeconds"
	attrManagedSse        = "SqsManagedSseEnabled"
	attrFifo              = "FifoQueue"
	attrContentDedupe     = "ContentBasedDeduplication"
	attrDedupeScope       = "DeduplicationScope"
	attrThroughputLimit   = "FifoThroughputLimit"
	scopeQueue            = "queue"
	scopeGroup            = "messageGroup"
	limitPerQueue         = "perQueue"
	limitPerGroup         = "perMessageGroupId"
	yes                   = "true"
	no                    = "false"
	maxVisibilitySeconds  = 43200
	maxWaitSeconds        = 20
	defaultKmsReusePeriod = "300"
)

// attributeKind is what the values of a queue attribute may be.
type attributeKind int

const (
	kindText attributeKind = iota
	kindNumber
	kindBool
	kindChoice
	kindDocument // JSON; empty takes it away
	kindReadOnly
)

type attributeRule struct {
	kind     attributeKind
	min, max int
	choices  [2]string
	fifo     bool   // only FIFO queues have it
	initial  string // its value on a queue that was created without it; empty means none
}

// ruleOf returns the rule of a queue attribute, if there is one of that name.
func ruleOf(name string) (attributeRule, bool) {
	switch name {
	case attrDelay:
		return attributeRule{kind: kindNumber, max: maxDelaySeconds, initial: "0"}, true
	case attrMaxSize:
		return attributeRule{kind: kindNumber, min: 1024, max: maxMessageSize, initial: "1048576"}, true
	case attrRetention:
		return attributeRule{kind: kindNumber, min: 60, max: 1209600, initial: "345600"}, true
	case attrWait:
		return attributeRule{kind: kindNumber, max: maxWaitSeconds, initial: "0"}, true
	case attrVisibility:
		return attributeRule{kind: kindNumber, max: maxVisibilitySeconds, initial: "30"}, true
	case attrPolicy, attrRedrive, attrRedriveAllow:
		return attributeRule{kind: kindDocument}, true
	case attrKmsKey:
		return attributeRule{kind: kindText}, true
	case attrKmsReuse:
		return attributeRule{kind: kindNumber, min: 60, max: 86400}, true
	case attrManagedSse:
		return attributeRule{kind: kindBool, initial: yes}, true
	case attrFifo:
		return attributeRule{kind: kindBool, fifo: true, initial: yes}, true
	case attrContentDedupe:
		return attributeRule{kind: kindBool, fifo: true, initial: no}, true
	case attrDedupeScope:
		return attributeRule{kind: kindChoice, choices: [2]string{scopeQueue, scopeGroup}, fifo: true, initial: scopeQueue}, true
	case attrThroughputLimit:
		return attributeRule{kind: kindChoice, choices: [2]string{limitPerQueue, limitPerGroup}, fifo: true, initial: limitPerQueue}, true
	case attrArn, attrCreated, attrModified, attrVisible, attrInFlight, attrDelayed:
		return attributeRule{kind: kindReadOnly}, true
	}
	return attributeRule{}, false
}

// settable lists the attributes that a queue can carry, in the order in which
// they are reported.
func settable() []string {
	return []string{
		attrVisibility, attrDelay, attrWait, attrRetention, attrMaxSize,
		attrPolicy, attrRedrive, attrRedriveAllow, attrManagedSse, attrKmsKey, attrKmsReuse,
		attrFifo, attrContentDedupe, attrDedupeScope, attrThroughputLimit,
	}
}

// normalize checks what a client sets and returns it as the queue keeps it:
// booleans in lower case, numbers without signs and leading zeros. An empty
// value takes the attribute away.
func normalize(attributes map[string]string, fifo bool) (map[string]string, *apiError) {
	out := make(map[string]string, len(attributes))
	for name, value := range attributes {
		rule, ok := ruleOf(name)
		if !ok || rule.kind == kindReadOnly {
			return nil, unknownAttribute(name)
		}
		if rule.fifo && !fifo {
			if name == attrFifo || name == attrContentDedupe {
				return nil, unknownAttribute(name)
			}
			return nil, fault(codeInvalidAttributeName, "You can specify the %s only when FifoQueue is set to true.", name)
		}
		v, ok := rule.normalize(value)
		if !ok {
			return nil, invalidAttribute(name)
		}
		if name == attrFifo && v != yes {
			return nil, fault(codeInvalidAttributeValue, "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.")
		}
		out[name] = v
	}
	return out, nil
}

func unknownAttribute(name string) *apiError {
	return fault(codeInvalidAttributeName, "Unknown Attribute %s.", name)
}

func invalidAttribute(name string) *apiError {
	return fault(codeInvalidAttributeValue, "Invalid value for the parameter %s.", name)
}

func (a attributeRule) normalize(value string) (string, bool) {
	switch a.kind {
	case kindNumber:
		n, err := strconv.Atoi(value)
		return strconv.Itoa(n), err == nil && a.min <= n && n <= a.max
	case kindBool:
		v := strings.ToLower(value)
		return v, v == yes || v == no
	case kindChoice:
		return value, value == a.choices[0] || value == a.choices[1]
	case kindDocument:
		if value == "" {
			return "", true
		}
		var object map[string]json.RawMessage
		return value, json.Unmarshal([]byte(value), &object) == nil && object != nil
	case kindText, kindReadOnly:
	}
	return value, true
}

// checkName is the rule for names of queues.
func checkName(name string, fifo bool) *apiError {
	stem := name
	if fifo {
		var ok bool
		if stem, ok = strings.CutSuffix(name, fifoSuffix); !ok {
			return invalidParameter("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.")
		}
	}
	ok := stem != "" && len(name) <= 80
	for i := 0; ok && i < len(stem); i++ {
		ok = isWord(stem[i])
	}
	switch {
	case ok:
		return nil
	case fifo:
		return invalidParameter("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.")
	}
	return invalidParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
}

const fifoSuffix = ".fifo"

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}
