"""Constants, errors and handles of the OneAgent SDK."""

from typing import Any, NoReturn

#: Where a string tag travels: the header of a request, and the property of a message.
DYNATRACE_HTTP_HEADER_NAME = "X-dynaTrace"
DYNATRACE_MESSAGE_PROPERTY_NAME = "dtdTraceTagInfo"
#: The older name.
DYNATRACE_MESSAGE_PROPERTYNAME = DYNATRACE_MESSAGE_PROPERTY_NAME


class _Uninstantiable:
    """Holds constants."""

    def __new__(cls) -> NoReturn:
        raise ValueError("Attempt to instantiate")


class AgentState(_Uninstantiable):
    """Whether there is an agent that traces."""

    ACTIVE = 0
    TEMPORARILY_INACTIVE = 1
    PERMANENTLY_INACTIVE = 2
    NOT_INITIALIZED = 3
    ERROR = -1


class AgentForkState(_Uninstantiable):
    """What forked children may do. Under Pitviper all processes are traced."""

    PARENT_INITIALIZED = 1
    PRE_INITIALIZED = 2
    FULLY_INITIALIZED = 3
    NOT_FORKABLE = 4
    ERROR = -1


class ErrorCode(_Uninstantiable):
    """What functions of the C interface return."""

    _ERROR_BASE = -0x50020000

    SUCCESS = 0
    GENERIC = _ERROR_BASE + 1
    INVALID_ARGUMENT = _ERROR_BASE + 2
    NOT_IMPLEMENTED = _ERROR_BASE + 3
    NOT_INITIALIZED = _ERROR_BASE + 4
    OUT_OF_MEMORY = _ERROR_BASE + 5
    AGENT_NOT_ACTIVE = _ERROR_BASE + 6
    LOAD_AGENT = _ERROR_BASE + 7
    INVALID_AGENT_BINARY = _ERROR_BASE + 8
    UNEXPECTED = _ERROR_BASE + 9
    ENTRY_ALREADY_EXISTS = _ERROR_BASE + 10
    FEATURE_LEVEL_NOT_SUPPORTED = _ERROR_BASE + 11
    INTERFACE_NOT_SUPPORTED = _ERROR_BASE + 12
    FORK_CHILD = _ERROR_BASE + 13
    NO_DATA = _ERROR_BASE + 14


class MessageSeverity(_Uninstantiable):
    """Levels of the C interface."""

    FINEST = 0
    FINER = 1
    FINE = 2
    CONFIG = 3
    INFO = 4
    WARNING = 5
    SEVERE = 6
    DEBUG = 7
    NONE = 8


class MessagingDestinationType(_Uninstantiable):
    """What messages are sent to."""

    QUEUE = 1
    TOPIC = 2


class MessagingVendor(_Uninstantiable):
    """Messaging systems; any other text may be given as well."""

    HORNETQ = "HornetQ"
    ACTIVE_MQ = "ActiveMQ"
    RABBIT_MQ = "RabbitMQ"
    ARTEMIS = "Artemis"
    WEBSPHERE = "WebSphere"
    MQSERIES_JMS = "MQSeries JMS"
    MQSERIES = "MQSeries"
    TIBCO = "Tibco"


class DatabaseVendor(_Uninstantiable):
    """Databases; any other text may be given as well."""

    APACHE_HIVE = "ApacheHive"
    CLOUDSCAPE = "Cloudscape"
    HSQLDB = "HSQLDB"
    PROGRESS = "Progress"
    MAXDB = "MaxDB"
    HANADB = "HanaDB"
    INGRES = "Ingres"
    FIRST_SQL = "FirstSQL"
    ENTERPRISE_DB = "EnterpriseDB"
    CACHE = "Cache"
    ADABAS = "Adabas"
    FIREBIRD = "Firebird"
    DB2 = "DB2"
    DERBY_CLIENT = "Derby Client"
    DERBY_EMBEDDED = "Derby Embedded"
    FILEMAKER = "Filemaker"
    INFORMIX = "Informix"
    INSTANT_DB = "InstantDb"
    INTERBASE = "Interbase"
    MYSQL = "MySQL"
    MARIADB = "MariaDB"
    NETEZZA = "Netezza"
    ORACLE = "Oracle"
    PERVASIVE = "Pervasive"
    POINTBASE = "Pointbase"
    POSTGRESQL = "PostgreSQL"
    SQLSERVER = "SQL Server"
    SQLITE = "sqlite"
    SYBASE = "Sybase"
    TERADATA = "Teradata"
    VERTICA = "Vertica"
    CASSANDRA = "Cassandra"
    H2 = "H2"
    COLDFUSION_IMQ = "ColdFusion IMQ"
    REDSHIFT = "Amazon Redshift"


class ChannelType(_Uninstantiable):
    """How something is reached."""

    OTHER = 0
    TCP_IP = 1
    UNIX_DOMAIN_SOCKET = 2
    NAMED_PIPE = 3
    IN_PROCESS = 4


class SDKError(Exception):
    """A function of the C interface failed.

    Attributes:
        code: One of :class:`ErrorCode`.
        message: What it means.
    """

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(code, msg)
        self.code = code
        self.message = msg


class SDKInitializationError(SDKError):
    """The SDK could not be initialized.

    Attributes:
        agent_version: The version of the agent and of the SDK, as far as they are known.
    """

    def __init__(self, code: int, msg: str, agent_version: str = "-/-") -> None:
        super().__init__(code, msg)
        self.agent_version = agent_version


class SDKHandleBase:
    """Holds on to a description until it is closed; false where nothing is traced."""

    def __init__(self, nsdk: Any, handle: Any) -> None:
        self.handle = handle
        self.nsdk = nsdk

    def close_handle(self, nsdk: Any, handle: Any) -> None:
        """Lets go of the native description."""
        raise NotImplementedError("Must implement close_handle in derived class")

    def close(self) -> None:
        """Lets go of it; tracers that were made with it go on."""
        if self.handle is not None:
            self.close_handle(self.nsdk, self.handle)
            self.handle = None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __bool__(self) -> bool:
        return bool(self.handle)

    def __str__(self) -> str:
        return f"{type(self)}({self.handle})"

    def __del__(self) -> None:
        if self.handle is None:
            return
        try:
            told = self.nsdk.agent_get_logging_callback()
            if told:
                told(f"Unclosed SDK handle {self!r}")
        finally:
            self.close()


class DbInfoHandle(SDKHandleBase):
    """A database; see :meth:`oneagent.sdk.SDK.create_database_info`."""

    def close_handle(self, nsdk: Any, handle: Any) -> None:
        nsdk.databaseinfo_delete(handle)


class WebapplicationInfoHandle(SDKHandleBase):
    """A web application; see :meth:`oneagent.sdk.SDK.create_web_application_info`."""

    def close_handle(self, nsdk: Any, handle: Any) -> None:
        nsdk.webapplicationinfo_delete(handle)


class MessagingSystemInfoHandle(SDKHandleBase):
    """A queue or topic; see :meth:`oneagent.sdk.SDK.create_messaging_system_info`."""

    def close_handle(self, nsdk: Any, handle: Any) -> None:
        nsdk.messagingsysteminfo_delete(handle)


class TraceContextInfo:
    """The ids of what is current, for logs; false where nothing is traced."""

    INVALID_TRACE_ID = "0" * 32
    INVALID_SPAN_ID = "0" * 16

    def __init__(self, is_valid: bool, trace_id: str, span_id: str) -> None:
        self.is_valid = is_valid
        self.trace_id = trace_id
        self.span_id = span_id

    def __bool__(self) -> bool:
        return self.is_valid

    def __str__(self) -> str:
        return f"{self.trace_id}-{self.span_id}"
