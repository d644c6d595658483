/* Handles and the values that functions take and return. */
#ifndef PITVIPER_ONESDK_COMMON_H
#define PITVIPER_ONESDK_COMMON_H

#include "onesdk/onesdk_config.h"

/* What is held on to by a number. ONESDK_INVALID_HANDLE may be passed anywhere, and nothing is done. */
typedef onesdk_uint64_t onesdk_handle_t;
typedef onesdk_handle_t onesdk_tracer_handle_t;
typedef onesdk_handle_t onesdk_databaseinfo_handle_t;
typedef onesdk_handle_t onesdk_messagingsysteminfo_handle_t;
typedef onesdk_handle_t onesdk_webapplicationinfo_handle_t;
#define ONESDK_INVALID_HANDLE ((onesdk_handle_t)0)

/* A function that takes messages of the SDK. It must not call the SDK. */
typedef void onesdk_agent_logging_callback_t(char const* message);

/* For onesdk_initialize_2: children of the process are traced, too. Pitviper traces them in any case. */
#define ONESDK_INIT_FLAG_FORKABLE ((onesdk_uint32_t)1)

#define ONESDK_SUCCESS ((onesdk_result_t)0)
#define ONESDK_ERROR_GENERIC ((onesdk_result_t)(-0x50020000 + 1))
#define ONESDK_ERROR_INVALID_ARGUMENT ((onesdk_result_t)(-0x50020000 + 2))
#define ONESDK_ERROR_NOT_IMPLEMENTED ((onesdk_result_t)(-0x50020000 + 3))
#define ONESDK_ERROR_NOT_INITIALIZED ((onesdk_result_t)(-0x50020000 + 4))
#define ONESDK_ERROR_OUT_OF_MEMORY ((onesdk_result_t)(-0x50020000 + 5))
#define ONESDK_ERROR_AGENT_NOT_ACTIVE ((onesdk_result_t)(-0x50020000 + 6))
#define ONESDK_ERROR_LOAD_AGENT ((onesdk_result_t)(-0x50020000 + 7))
#define ONESDK_ERROR_INVALID_AGENT_BINARY ((onesdk_result_t)(-0x50020000 + 8))
#define ONESDK_ERROR_UNEXPECTED ((onesdk_result_t)(-0x50020000 + 9))
#define ONESDK_ERROR_ENTRY_ALREADY_EXISTS ((onesdk_result_t)(-0x50020000 + 10))
#define ONESDK_ERROR_FEATURE_LEVEL_NOT_SUPPORTED ((onesdk_result_t)(-0x50020000 + 11))
#define ONESDK_ERROR_INTERFACE_NOT_SUPPORTED ((onesdk_result_t)(-0x50020000 + 12))
#define ONESDK_ERROR_FORK_CHILD ((onesdk_result_t)(-0x50020000 + 13))
#define ONESDK_ERROR_NO_DATA ((onesdk_result_t)(-0x50020000 + 14))

/* Whether there is an agent that traces. */
#define ONESDK_AGENT_STATE_ACTIVE ((onesdk_int32_t)0)
#define ONESDK_AGENT_STATE_TEMPORARILY_INACTIVE ((onesdk_int32_t)1)
#define ONESDK_AGENT_STATE_PERMANENTLY_INACTIVE ((onesdk_int32_t)2)
#define ONESDK_AGENT_STATE_NOT_INITIALIZED ((onesdk_int32_t)3)
#define ONESDK_AGENT_STATE_ERROR ((onesdk_int32_t)-1)

/* What forked children may do. */
#define ONESDK_AGENT_FORK_STATE_PARENT_INITIALIZED ((onesdk_int32_t)1)
#define ONESDK_AGENT_FORK_STATE_PRE_INITIALIZED ((onesdk_int32_t)2)
#define ONESDK_AGENT_FORK_STATE_FULLY_INITIALIZED ((onesdk_int32_t)3)
#define ONESDK_AGENT_FORK_STATE_NOT_FORKABLE ((onesdk_int32_t)4)
#define ONESDK_AGENT_FORK_STATE_ERROR ((onesdk_int32_t)-1)

typedef onesdk_int32_t onesdk_logging_level_t;
#define ONESDK_LOGGING_LEVEL_FINEST ((onesdk_logging_level_t)0)
#define ONESDK_LOGGING_LEVEL_FINER ((onesdk_logging_level_t)1)
#define ONESDK_LOGGING_LEVEL_FINE ((onesdk_logging_level_t)2)
#define ONESDK_LOGGING_LEVEL_CONFIG ((onesdk_logging_level_t)3)
#define ONESDK_LOGGING_LEVEL_INFO ((onesdk_logging_level_t)4)
#define ONESDK_LOGGING_LEVEL_WARNING ((onesdk_logging_level_t)5)
#define ONESDK_LOGGING_LEVEL_SEVERE ((onesdk_logging_level_t)6)
#define ONESDK_LOGGING_LEVEL_DEBUG ((onesdk_logging_level_t)7)
#define ONESDK_LOGGING_LEVEL_NONE ((onesdk_logging_level_t)8)

/* How something is reached; the endpoint goes with it: host:port, path, name. */
#define ONESDK_CHANNEL_TYPE_OTHER ((onesdk_int32_t)0)
#define ONESDK_CHANNEL_TYPE_TCP_IP ((onesdk_int32_t)1)
#define ONESDK_CHANNEL_TYPE_UNIX_DOMAIN_SOCKET ((onesdk_int32_t)2)
#define ONESDK_CHANNEL_TYPE_NAMED_PIPE ((onesdk_int32_t)3)
#define ONESDK_CHANNEL_TYPE_IN_PROCESS ((onesdk_int32_t)4)

#define ONESDK_MESSAGING_DESTINATION_TYPE_QUEUE ((onesdk_int32_t)1)
#define ONESDK_MESSAGING_DESTINATION_TYPE_TOPIC ((onesdk_int32_t)2)

/* Vendors; any other text may be passed as well. */
#define ONESDK_MESSAGING_VENDOR_HORNETQ "HornetQ"
#define ONESDK_MESSAGING_VENDOR_ACTIVE_MQ "ActiveMQ"
#define ONESDK_MESSAGING_VENDOR_RABBIT_MQ "RabbitMQ"
#define ONESDK_MESSAGING_VENDOR_ARTEMIS "Artemis"
#define ONESDK_MESSAGING_VENDOR_WEBSPHERE "WebSphere"
#define ONESDK_MESSAGING_VENDOR_MQSERIES_JMS "MQSeries JMS"
#define ONESDK_MESSAGING_VENDOR_MQSERIES "MQSeries"
#define ONESDK_MESSAGING_VENDOR_TIBCO "Tibco"
#define ONESDK_DATABASE_VENDOR_APACHE_HIVE "ApacheHive"
#define ONESDK_DATABASE_VENDOR_CLOUDSCAPE "Cloudscape"
#define ONESDK_DATABASE_VENDOR_HSQLDB "HSQLDB"
#define ONESDK_DATABASE_VENDOR_PROGRESS "Progress"
#define ONESDK_DATABASE_VENDOR_MAXDB "MaxDB"
#define ONESDK_DATABASE_VENDOR_HANADB "HanaDB"
#define ONESDK_DATABASE_VENDOR_INGRES "Ingres"
#define ONESDK_DATABASE_VENDOR_FIRST_SQL "FirstSQL"
#define ONESDK_DATABASE_VENDOR_ENTERPRISE_DB "EnterpriseDB"
#define ONESDK_DATABASE_VENDOR_CACHE "Cache"
#define ONESDK_DATABASE_VENDOR_ADABAS "Adabas"
#define ONESDK_DATABASE_VENDOR_FIREBIRD "Firebird"
#define ONESDK_DATABASE_VENDOR_DB2 "DB2"
#define ONESDK_DATABASE_VENDOR_DERBY_CLIENT "Derby Client"
#define ONESDK_DATABASE_VENDOR_DERBY_EMBEDDED "Derby Embedded"
#define ONESDK_DATABASE_VENDOR_FILEMAKER "Filemaker"
#define ONESDK_DATABASE_VENDOR_INFORMIX "Informix"
#define ONESDK_DATABASE_VENDOR_INSTANT_DB "InstantDb"
#define ONESDK_DATABASE_VENDOR_INTERBASE "Interbase"
#define ONESDK_DATABASE_VENDOR_MYSQL "MySQL"
#define ONESDK_DATABASE_VENDOR_MARIADB "MariaDB"
#define ONESDK_DATABASE_VENDOR_NETEZZA "Netezza"
#define ONESDK_DATABASE_VENDOR_ORACLE "Oracle"
#define ONESDK_DATABASE_VENDOR_PERVASIVE "Pervasive"
#define ONESDK_DATABASE_VENDOR_POINTBASE "Pointbase"
#define ONESDK_DATABASE_VENDOR_POSTGRESQL "PostgreSQL"
#define ONESDK_DATABASE_VENDOR_SQLSERVER "SQL Server"
#define ONESDK_DATABASE_VENDOR_SQLITE "sqlite"
#define ONESDK_DATABASE_VENDOR_SYBASE "Sybase"
#define ONESDK_DATABASE_VENDOR_TERADATA "Teradata"
#define ONESDK_DATABASE_VENDOR_VERTICA "Vertica"
#define ONESDK_DATABASE_VENDOR_CASSANDRA "Cassandra"
#define ONESDK_DATABASE_VENDOR_H2 "H2"
#define ONESDK_DATABASE_VENDOR_COLDFUSION_IMQ "ColdFusion IMQ"
#define ONESDK_DATABASE_VENDOR_REDSHIFT "Amazon Redshift"
#define ONESDK_DATABASE_VENDOR_COUCHBASE "Couchbase"

/* Where a string tag travels. */
#define ONESDK_DYNATRACE_HTTP_HEADER_NAME "X-dynaTrace"
#define ONESDK_DYNATRACE_MESSAGE_PROPERTY_NAME "dtdTraceTagInfo"
#define ONESDK_DYNATRACE_MESSAGE_PROPERTYNAME ONESDK_DYNATRACE_MESSAGE_PROPERTY_NAME

/* Room for the ids of onesdk_tracecontext_get_current, with their ends. */
#define ONESDK_TRACE_ID_BUFFER_SIZE 33
#define ONESDK_SPAN_ID_BUFFER_SIZE 17

#endif
