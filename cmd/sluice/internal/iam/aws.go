package iam

// awsRows are the calls of the driver for SQS. Needs beyond a call's own permission are
// those of the API reference: a move task needs the rights of what it does.
var awsRows = []row{
	{"sqs:GetQueueUrl", theQueue, same("sqs:GetQueueUrl", theQueue), byName, without(Plan, Apply), ""},
	{"sqs:GetQueueUrl", theQueue, same("sqs:GetQueueUrl", theQueue), always, []Purpose{Plan, Apply}, ""},
	{"sqs:GetQueueUrl", deadLetters, same("sqs:GetQueueUrl", deadLetters), always, []Purpose{Doctor, Plan, Apply, Console}, ""},
	{"sqs:GetQueueAttributes", theQueue, same("sqs:GetQueueAttributes", theQueue), always, Purposes(), ""},
	{"sqs:GetQueueAttributes", deadLetters, same("sqs:GetQueueAttributes", deadLetters), always, without(Send), ""},
	{"sqs:SendMessageBatch", theQueue, same("sqs:SendMessage", theQueue), always, []Purpose{Send, Redrive}, ""},
	{"sqs:SendMessageBatch", deadLetters, same("sqs:SendMessage", deadLetters), always, []Purpose{Run, Import}, ""},
	{"sqs:ReceiveMessage", theQueue, same("sqs:ReceiveMessage", theQueue), always, []Purpose{Run, Peek}, ""},
	{"sqs:ReceiveMessage", deadLetters, same("sqs:ReceiveMessage", deadLetters), always, []Purpose{Letters, Discard, Redrive, Doctor}, ""},
	{"sqs:DeleteMessageBatch", theQueue, same("sqs:DeleteMessage", theQueue), always, []Purpose{Run}, ""},
	{"sqs:DeleteMessageBatch", deadLetters, same("sqs:DeleteMessage", deadLetters), always, []Purpose{Discard, Redrive}, ""},
	{"sqs:ChangeMessageVisibilityBatch", theQueue, same("sqs:ChangeMessageVisibility", theQueue), always, []Purpose{Run, Peek}, ""},
	{"sqs:ChangeMessageVisibilityBatch", deadLetters, same("sqs:ChangeMessageVisibility", deadLetters), always, []Purpose{Letters, Discard, Redrive, Doctor}, ""},
	{"sqs:PurgeQueue", theQueue, same("sqs:PurgeQueue", theQueue), always, []Purpose{Purge}, ""},
	{"sqs:PurgeQueue", deadLetters, same("sqs:PurgeQueue", deadLetters), always, []Purpose{Purge}, ""},
	{"sqs:ListDeadLetterSourceQueues", deadLetters, same("sqs:ListDeadLetterSourceQueues", deadLetters), always, []Purpose{Redrive}, ""},
	{"sqs:StartMessageMoveTask", deadLetters, moves("sqs:StartMessageMoveTask", need{"sqs:SendMessage", theQueue}), always, []Purpose{Redrive}, ""},
	{"sqs:ListMessageMoveTasks", deadLetters, moves("sqs:ListMessageMoveTasks"), always, []Purpose{Redrive}, ""},
	{"sqs:CancelMessageMoveTask", deadLetters, moves("sqs:CancelMessageMoveTask"), always, []Purpose{Redrive}, ""},
	{"sqs:ListQueueTags", theQueue, same("sqs:ListQueueTags", theQueue), always, []Purpose{Doctor, Plan, Apply, Console}, ""},
	{"sqs:ListQueueTags", deadLetters, same("sqs:ListQueueTags", deadLetters), always, []Purpose{Doctor, Plan, Apply, Console}, ""},
	{"sqs:CreateQueue", theQueue, same("sqs:CreateQueue", theQueue), always, []Purpose{Apply}, ""},
	{"sqs:CreateQueue", deadLetters, same("sqs:CreateQueue", deadLetters), always, []Purpose{Apply}, ""},
	{"sqs:SetQueueAttributes", theQueue, same("sqs:SetQueueAttributes", theQueue), always, []Purpose{Apply}, ""},
	{"sqs:SetQueueAttributes", deadLetters, same("sqs:SetQueueAttributes", deadLetters), always, []Purpose{Apply}, ""},
	{"sqs:TagQueue", theQueue, same("sqs:TagQueue", theQueue), withTags, []Purpose{Apply}, ""},
	{"sqs:TagQueue", deadLetters, same("sqs:TagQueue", deadLetters), withTags, []Purpose{Apply}, ""},
	{"cloudwatch:GetMetricStatistics", theAccount, same("cloudwatch:GetMetricStatistics", theAccount), always, []Purpose{Run, Depth, Doctor, Console}, ""},
	{"cloudwatch:DescribeAlarmsForMetric", theAccount, same("cloudwatch:DescribeAlarmsForMetric", theAccount), always, []Purpose{Doctor, Console}, ""},
	{"cloudwatch:DescribeAlarms", theAccount, same("cloudwatch:DescribeAlarms", theAccount), withAlarms, []Purpose{Doctor, Plan, Apply, Console}, ""},
	{"cloudwatch:PutMetricAlarm", theAccount, same("cloudwatch:PutMetricAlarm", theAlarms), withAlarms, []Purpose{Apply}, ""},
	{"s3:PutObject", theObjects, []need{{"s3:PutObject", theObjects}, {"s3:AbortMultipartUpload", theObjects}}, withBucket, []Purpose{Send, Letters, Discard}, ""},
	{"s3:GetObject", theObjects, same("s3:GetObject", theObjects), withBucket, []Purpose{Run, Peek, Letters, Redrive, Import}, ""},
	{"s3:ListObjectsV2", theBucket, same("s3:ListBucket", theBucket), withBucket, []Purpose{Run}, ""},
	{"s3:ListObjectsV2", thePrefix, same("s3:ListBucket", thePrefix), withBucket, []Purpose{Redrive, Import}, ""},
	{"kms:Decrypt", theKey, same("kms:Decrypt", theKey), withKey, []Purpose{Send, Run, Peek, Letters, Discard, Redrive, Import, Doctor}, "SQS makes it for the caller"},
	{"kms:GenerateDataKey", theKey, same("kms:GenerateDataKey", theKey), withKey, []Purpose{Send, Run, Redrive, Import}, "SQS makes it for the caller"},
}

// moves are the needs of a call about move tasks.
func moves(permission string, more ...need) []need {
	return append([]need{
		{permission, deadLetters}, {"sqs:ReceiveMessage", deadLetters}, {"sqs:DeleteMessage", deadLetters}, {"sqs:GetQueueAttributes", deadLetters},
	}, more...)
}
